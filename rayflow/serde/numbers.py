"""Single numbers as Java's serialisers write them: big-endian, of fixed size."""

from __future__ import annotations

import struct
from typing import Any, Generic, TypeVar

from rayflow.serde.base import Serde
from rayflow.serde.columns import mapped

N = TypeVar("N", int, float)


class NumberSerde(Serde[N], Generic[N]):
    """A number of a fixed number of bytes; `layout` is that of the module struct.

    >>> int64.encode([5, None])
    [b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x05', None]
    >>> float64.decode_one(float64.encode_one(1.5))
    1.5
    """

    def __init__(self, name: str, type: type[N], layout: str) -> None:
        self.name = name
        self.type = type
        self._letter = layout
        self._one = struct.Struct(f">{layout}")

    def decode_one(self, data: bytes) -> N:
        """Raises struct.error for another number of bytes."""
        number: N = self._one.unpack(data)[0]
        return number

    def encode_one(self, value: N) -> bytes:
        """Raises struct.error for a number out of range or of another type."""
        return self._one.pack(value)

    def decode(self, column: list[bytes | None]) -> list[Any]:
        if None in column or set(map(len, column)) != {self._one.size}:  # type: ignore[arg-type]
            return super().decode(column)
        return list(struct.unpack(f">{len(column)}{self._letter}", b"".join(column)))  # type: ignore[arg-type]

    def encode(self, column: list[N | None]) -> list[bytes | None]:
        return mapped(self._one.pack, column)


int32 = NumberSerde("int32", int, "i")
int64 = NumberSerde("int64", int, "q")
float64 = NumberSerde("float64", float, "d")
