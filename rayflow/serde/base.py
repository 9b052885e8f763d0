"""The contract of a serde: Python objects to bytes and back, whole columns at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Serde(ABC, Generic[T]):
    """Encodes and decodes the keys or the values of a stream. Stateless, so one instance serves all tasks.

    None stands for a null key or a tombstone: it is never passed to `decode_one` and `encode_one`, and columns keep it.
    Both may raise any exception for a record that does not fit; the operator adds where it happened.
    """

    name: str
    """Short name for `describe`: "json", "json Order", "text"."""

    type: Any = None
    """The Python type that `decode` gives, when it is one class; else None."""

    @abstractmethod
    def decode_one(self, data: bytes) -> T:
        """One object from its bytes."""

    @abstractmethod
    def encode_one(self, value: T) -> bytes:
        """The bytes of one object."""

    def decode(self, column: list[bytes | None]) -> list[T | None]:
        """A whole column; raises what `decode_one` raises for the first record that does not fit."""
        one = self.decode_one
        if None in column:
            return [None if data is None else one(data) for data in column]
        return list(map(one, column))  # type: ignore[arg-type]

    def encode(self, column: list[T | None]) -> list[bytes | None]:
        """A whole column; raises what `encode_one` raises for the first value that does not fit."""
        one = self.encode_one
        if None in column:
            return [None if value is None else one(value) for value in column]
        return list(map(one, column))  # type: ignore[arg-type]
