"""Values as lines of a file, and a serde that refuses values that cannot be a line before they are staged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayflow.core.errors import EncodeFailed
from rayflow.serde.base import Serde


def lines(values: Sequence[bytes]) -> bytes:
    """The values, one a line.

    Raises EncodeFailed when one is no line: it is empty, holds a newline, or ends in a carriage return, which belongs
    to the line's end.

    >>> lines([b"1", b"2"])
    b'1\\n2\\n'
    """
    data = b"\n".join([*values, b""])
    if data.count(b"\n") != len(values) or b"" in values or b"\r\n" in data:
        raise EncodeFailed(
            "A value is empty, contains a newline or ends in a carriage return, so it is no line of a file",
            advice="Use the json serde for this sink, or skip or dead-letter such records: on_error=rf.skip or "
            "rf.dead_letter(topic)",
        )
    return data


class OneLine(Serde[Any]):
    """Encodes like another serde, and refuses values that would not be one line.

    An epoch's output is encoded before its checkpoint and written after it, so such a value must be found here.
    """

    def __init__(self, serde: Serde[Any]) -> None:
        self._serde = serde
        self.name = serde.name
        self.type = serde.type

    def decode_one(self, data: bytes) -> Any:
        return self._serde.decode_one(data)

    def encode_one(self, value: Any) -> bytes:
        data = self._serde.encode_one(value)
        lines([data])
        return data

    def encode(self, column: list[Any]) -> list[bytes | None]:
        encoded = self._serde.encode(column)
        lines([data for data in encoded if data is not None])
        return encoded
