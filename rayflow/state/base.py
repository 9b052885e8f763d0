"""The contracts of state: a store with one completed checkpoint, and the delta from one checkpoint to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from rayflow.core.ids import Epoch


class Stamp(NamedTuple):
    """The completed checkpoint that a store contains."""

    lineage: str
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Delta:
    """Rows of one task that changed in one epoch: keys in ascending byte order, each once. None deletes a row."""

    keys: list[bytes]
    values: list[bytes | None]

    def __len__(self) -> int:
        return len(self.keys)


Rows: TypeAlias = tuple[list[bytes], list[bytes]]
"""A run of rows in ascending key order: keys, values."""


class RowReader(ABC):
    """Read access to ordered rows, bytes to bytes. Used from one thread."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The row at `key`."""

    @abstractmethod
    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The rows at `keys`, in one read."""

    @abstractmethod
    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop in ascending order (stop None: to the end). The view stays consistent during
        the iteration. Finish or close the iterator before the next `apply`; after it, the iterator raises
        InvariantBroken."""

    @abstractmethod
    def scan_back(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """The rows of `scan`, in descending order, under the same conditions."""

    @abstractmethod
    def scan_many(self, ranges: list[tuple[bytes, bytes]], limit: int | None = None) -> list[list[tuple[bytes, bytes]]]:
        """The rows of each range [start, stop) in ascending order, at most `limit` of each, in one read."""

    @abstractmethod
    def last(self, start: bytes, stop: bytes | None) -> bytes | None:
        """The greatest key with start <= key < stop (stop None: to the end)."""


class Store(RowReader):
    """Bytes to bytes, ordered, one per task. It contains exactly one completed checkpoint. Used from one thread.

    Keys have at most 511 bytes (the tables ensure this).
    """

    @property
    @abstractmethod
    def stamp(self) -> Stamp | None:
        """The checkpoint in the store; None if the store was never stamped."""

    @abstractmethod
    def apply(self, delta: Delta, stamp: Stamp) -> None:
        """Apply all of `delta` and the stamp, or nothing. Raises DiskFull."""

    def applying(self, delta: Delta, stamp: Stamp) -> Iterator[None]:
        """Like `apply`, but in steps of about a ms; iterate to the end. Until then, reads see the old state. Closing
        the iterator early leaves the old state. No other write and no call of `rows` may happen in between. Raises the
        errors of `apply`."""
        self.apply(delta, stamp)
        yield

    @abstractmethod
    def replace(self, rows: Iterable[Rows], stamp: Stamp) -> None:
        """Replace all contents by `rows` (runs in ascending order over all). Not atomic: the stamp comes last, so an
        interrupted call leaves a store without a stamp. Raises DiskFull."""

    @abstractmethod
    def rows(self, chunk: int = 16_384) -> Iterator[Rows]:
        """All rows in runs of at most `chunk` rows, as of the call (later `apply` calls have no effect on it).

        Raises InvariantBroken if the store was replaced or closed in between.
        """

    @abstractmethod
    def count(self) -> int:
        """Number of rows, without the stamp."""

    @abstractmethod
    def size(self) -> int:
        """Bytes used by the store's live pages or rows; an estimate."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources. Closing twice has no further effect."""
