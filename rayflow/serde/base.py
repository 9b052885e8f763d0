"""The contract of a serde: Python objects to bytes and back, whole columns at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Serde(ABC, Generic[T]):
    """Encodes and decodes the keys or the values of a stream. Stateless, so one instance serves all tasks.

    None means a null key or a tombstone: it is never passed to `decode_one` and `encode_one`, and stays in columns.
    Both may raise any exception for an invalid record; the operator adds the place.
    """

    name: str
    """Short name for `describe`: "json", "json Order", "text"."""

    type: Any = None
    """The Python type of decoded objects, if it is one class; otherwise None."""

    @abstractmethod
    def decode_one(self, data: bytes) -> T:
        """Decode one object."""

    @abstractmethod
    def encode_one(self, value: T) -> bytes:
        """Encode one object."""

    def decode(self, column: list[bytes | None]) -> list[T | None]:
        """Decode a column. Raises the error of `decode_one` for the first invalid record."""
        one = self.decode_one
        if None in column:
            return [None if data is None else one(data) for data in column]
        return list(map(one, column))  # type: ignore[arg-type]

    def encode(self, column: list[T | None]) -> list[bytes | None]:
        """Encode a column. Raises the error of `encode_one` for the first invalid value."""
        one = self.encode_one
        if None in column:
            return [None if value is None else one(value) for value in column]
        return list(map(one, column))  # type: ignore[arg-type]
