"""Serdes without structure: bytes as they are, and text."""

from __future__ import annotations

from rayflow.serde.base import Serde


class BytesSerde(Serde[bytes]):
    """Bytes, unchanged."""

    name = "bytes"
    type = bytes

    def decode_one(self, data: bytes) -> bytes:
        return data

    def encode_one(self, value: bytes) -> bytes:
        """Raises TypeError for any other type than bytes."""
        if type(value) is not bytes:
            raise TypeError(f"expected bytes, got {type(value).__qualname__}")
        return value

    def decode(self, column: list[bytes | None]) -> list[bytes | None]:
        return column

    def encode(self, column: list[bytes | None]) -> list[bytes | None]:
        if not set(map(type, column)) <= {bytes, type(None)}:
            return super().encode(column)
        return column


class TextSerde(Serde[str]):
    """Text in UTF-8.

    >>> TextSerde().encode(["a", None])
    [b'a', None]
    """

    name = "text"
    type = str

    def decode_one(self, data: bytes) -> str:
        """Raises UnicodeDecodeError."""
        return data.decode()

    def encode_one(self, value: str) -> bytes:
        """Raises TypeError for any other type than str, UnicodeEncodeError."""
        return str.encode(value)

    def decode(self, column: list[bytes | None]) -> list[str | None]:
        if None in column:
            return super().decode(column)
        return list(map(bytes.decode, column))  # type: ignore[arg-type]

    def encode(self, column: list[str | None]) -> list[bytes | None]:
        if None in column:
            return super().encode(column)
        return list(map(str.encode, column))  # type: ignore[arg-type]


bytes_ = BytesSerde()
text = TextSerde()
