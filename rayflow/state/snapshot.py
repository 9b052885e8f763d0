"""A snapshot of a store, read in chunks while the store changes. It copies only rows that change during the read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rayflow.core.errors import InvariantBroken
from rayflow.state.base import Rows

ReadRows = Callable[[bytes, int], list[tuple[bytes, bytes]]]
"""Reads at most a given number of the store's current rows, from a key on."""


class Snapshot(Iterator[Rows]):
    """Runs of rows as they were when the snapshot was created, each read in its own short transaction.

    Before each change, the store reports the rows that it will overwrite. After `end` was called with an error, the
    next read raises it.
    """

    def __init__(self, read: ReadRows, chunk: int) -> None:
        self._read = read
        self._chunk = chunk
        self._at: bytes | None = b""
        self._lost: dict[bytes, bytes | None] = {}
        self._error: InvariantBroken | None = None

    def keep(self, keys: list[bytes], get_many: Callable[[list[bytes]], list[bytes | None]]) -> None:
        """Report that the rows at `keys` are about to change."""
        at = self._at
        if at is not None:
            ahead = [key for key in keys if key >= at and key not in self._lost]
            self._lost.update(zip(ahead, get_many(ahead), strict=True))

    def end(self, error: InvariantBroken) -> None:
        """Report that the store cannot be read any more."""
        self._error = error

    def __next__(self) -> Rows:
        while self._at is not None:
            if self._error is not None:
                raise self._error
            rows = self._read(self._at, self._chunk + 1)
            self._at = rows.pop()[0] if len(rows) > self._chunk else None
            if self._lost:
                rows = self._restored(rows)
            if rows:
                keys, values = zip(*rows, strict=True)
                return list(keys), list(values)
        raise StopIteration

    def _restored(self, rows: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        end = self._at
        passed = [key for key in self._lost if end is None or key < end]
        now: dict[bytes, bytes | None] = dict(rows)
        now.update((key, self._lost[key]) for key in passed)
        then = sorted((key, value) for key, value in now.items() if value is not None)
        if len(then) > self._chunk:
            self._at = end = then[self._chunk][0]
        for key in passed:
            if end is None or key < end:
                del self._lost[key]
        return then[: self._chunk]
