"""The default serde of an output: it depends on the type of each value."""

from __future__ import annotations

from typing import Any

import msgspec

from rayflow.serde.base import Serde

_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


class AutoSerde(Serde[Any]):
    """Writes str as UTF-8, bytes as they are, anything else as JSON. Reads JSON, else text, else bytes.

    >>> auto.encode(["a", b"b", None, {"c": 1}])
    [b'a', b'b', None, b'{"c":1}']
    """

    name = "auto"

    def decode_one(self, data: bytes) -> Any:
        try:
            return _from_json(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data

    def encode_one(self, value: Any) -> bytes:
        """Raises TypeError for a type that JSON cannot represent."""
        kind = type(value)
        if kind is bytes:
            return bytes(value)
        return str.encode(value) if kind is str else _json(value)

    def encode(self, column: list[Any]) -> list[bytes | None]:
        kinds = set(map(type, column))
        if kinds == {str}:
            return list(map(str.encode, column))
        if kinds <= {bytes, type(None)}:
            return column
        if kinds.isdisjoint({str, bytes, type(None)}):
            return list(map(_json, column))
        return super().encode(column)


auto = AutoSerde()
