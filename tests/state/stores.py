"""A store that counts what is read of it."""

from __future__ import annotations

from collections.abc import Iterator

from rayflow.state.base import Delta, Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState


class CountingStore(MemoryStore):
    """Attributes:
    reads: how often it was read. rows_read: rows that it gave.
    """

    reads = 0
    rows_read = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        self.rows_read += 1
        return super().get(key)

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        self.reads += bool(keys)
        self.rows_read += len(keys)
        return super().get_many(keys)

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        self.reads += 1
        return self._counted(super().scan(start, stop))

    def scan_back(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        self.reads += 1
        return self._counted(super().scan_back(start, stop))

    def scan_many(self, ranges: list[tuple[bytes, bytes]], limit: int | None = None) -> list[list[tuple[bytes, bytes]]]:
        before = self.reads
        found = super().scan_many(ranges, limit)
        self.reads = before + 1
        return found

    def last(self, start: bytes, stop: bytes | None) -> bytes | None:
        self.reads += 1
        return super().last(start, stop)

    def _counted(self, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for row in rows:
            self.rows_read += 1
            yield row


def checkpoint(state: TaskState, epoch: int) -> Delta:
    """End an epoch and complete it."""
    delta = state.seal()
    state.complete(Stamp("lineage", epoch))
    return delta
