"""The contracts of state: a store of completed checkpoints, and the delta that takes it from one to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from rayflow.core.ids import Epoch


class Stamp(NamedTuple):
    """Which completed checkpoint a store holds."""

    lineage: str
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Delta:
    """Rows of one task that changed in one epoch: keys in ascending byte order, each once; None deletes."""

    keys: list[bytes]
    values: list[bytes | None]

    def __len__(self) -> int:
        return len(self.keys)


Rows: TypeAlias = tuple[list[bytes], list[bytes]]
"""A run of rows in ascending key order: keys, values."""


class RowReader(ABC):
    """What can be read of ordered rows, bytes to bytes. Used from one thread."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The row at `key`."""

    @abstractmethod
    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The rows at `keys`, in one read."""

    @abstractmethod
    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop in ascending order (stop None: to the end). A consistent view is kept while
        iterating; finish or close the iterator before the next `apply` (one that goes on after it raises
        InvariantBroken)."""

    @abstractmethod
    def scan_back(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """The rows of `scan`, in descending order. The same holds for it."""

    @abstractmethod
    def scan_many(self, ranges: list[tuple[bytes, bytes]], limit: int | None = None) -> list[list[tuple[bytes, bytes]]]:
        """The rows of each range [start, stop) in ascending order, at most `limit` of each, in one read."""

    @abstractmethod
    def last(self, start: bytes, stop: bytes | None) -> bytes | None:
        """The greatest key with start <= key < stop (stop None: to the end)."""


class Store(RowReader):
    """Bytes to bytes, ordered, one per task; holds exactly one completed checkpoint. Used from one thread.

    Keys are at most 511 bytes (the tables above see to that).
    """

    @property
    @abstractmethod
    def stamp(self) -> Stamp | None:
        """The checkpoint held; None for a store that was never stamped."""

    @abstractmethod
    def apply(self, delta: Delta, stamp: Stamp) -> None:
        """All of `delta` and the stamp, or nothing. Raises DiskFull."""

    def applying(self, delta: Delta, stamp: Stamp) -> Iterator[None]:
        """`apply` bit by bit, about a ms each: iterate to the end. Until then, reads see the store as it was; closing
        the iterator early leaves it so. Nothing else may write, nor `rows` be called, in between. Raises as `apply`.
        """
        self.apply(delta, stamp)
        yield

    @abstractmethod
    def replace(self, rows: Iterable[Rows], stamp: Stamp) -> None:
        """Forget everything and hold `rows` (runs in ascending order over all). Not atomic: the stamp comes last, and a
        store that was cut off in between has none. Raises DiskFull."""

    @abstractmethod
    def rows(self, chunk: int = 16_384) -> Iterator[Rows]:
        """Everything in runs of at most `chunk` rows, as of the call (later `apply`s are not seen).

        Raises InvariantBroken when the store was replaced or closed in between.
        """

    @abstractmethod
    def count(self) -> int:
        """Number of rows, the stamp not counted."""

    @abstractmethod
    def size(self) -> int:
        """Bytes used by the store's live pages or rows; an estimate."""

    @abstractmethod
    def close(self) -> None:
        """Let go. Closing twice is closing once."""
