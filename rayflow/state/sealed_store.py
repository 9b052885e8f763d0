"""A store with the sealed epoch's delta over it; a task reads it below its open epoch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import gt, lt

from rayflow.core.errors import InvariantBroken
from rayflow.state.base import Delta, RowReader, Stamp, Store

_ABSENT = b"absent"


class SealedStore(RowReader):
    """Reads the sealed delta first, then the store. At most one delta is sealed at a time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._delta: Delta | None = None
        self._rows: dict[bytes, bytes | None] = {}
        self._completing = False

    @property
    def completed(self) -> RowReader:
        """The rows as of the last completed epoch, even while the next is being applied. Get it again for each read."""
        return self if self._completing else self.store

    @property
    def is_sealed(self) -> bool:
        """Whether a sealed delta waits for its checkpoint."""
        return self._delta is not None

    def seal(self, rows: dict[bytes, bytes | None]) -> Delta:
        """Seal `rows` over the store (the dict is kept, not copied)."""
        keys = sorted(rows)
        self._rows = rows
        self._delta = Delta(keys, list(map(rows.__getitem__, keys)))
        return self._delta

    def complete(self, stamp: Stamp) -> None:
        """Apply the sealed delta to the store. Raises DiskFull (it then stays sealed), InvariantBroken without one."""
        for _ in self.completing(stamp):
            pass

    def completing(self, stamp: Stamp) -> Iterator[None]:
        """Like `complete`, but in steps; iterate to the end. See `Store.applying`."""
        if self._delta is None:
            raise InvariantBroken(f"epoch {stamp.epoch} is complete but was not sealed")
        self._completing = True
        yield from self.store.applying(self._delta, stamp)
        self._delta = None
        self._rows = {}
        self._completing = False

    def get(self, key: bytes) -> bytes | None:
        if self._rows:
            data = self._rows.get(key, _ABSENT)
            if data is not _ABSENT:
                return data
        return self.store.get(key)

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        rows = self._rows
        if not rows:
            return self.store.get_many(keys)
        found = self.store.get_many([key for key in keys if key not in rows])
        if len(found) == len(keys):
            return found
        stored = iter(found)
        return [rows[key] if key in rows else next(stored) for key in keys]

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        stored = self.store.scan(start, stop)
        low, high = self._range(start, stop)
        if self._delta is None or low >= high:
            return stored
        return _merge(zip(self._delta.keys[low:high], self._delta.values[low:high], strict=True), stored, lt)

    def scan_back(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        stored = self.store.scan_back(start, stop)
        low, high = self._range(start, stop)
        if self._delta is None or low >= high:
            return stored
        keys, values = self._delta.keys[low:high], self._delta.values[low:high]
        return _merge(zip(reversed(keys), reversed(values), strict=True), stored, gt)

    def scan_many(self, ranges: list[tuple[bytes, bytes]], limit: int | None = None) -> list[list[tuple[bytes, bytes]]]:
        if self._delta is None:
            return self.store.scan_many(ranges, limit)
        keys = self._delta.keys
        changed = [bisect_left(keys, start) < bisect_left(keys, stop) for start, stop in ranges]
        stored = iter(self.store.scan_many([at for at, own in zip(ranges, changed, strict=True) if not own], limit))
        return [
            list(islice(self.scan(*at), limit)) if own else next(stored)
            for at, own in zip(ranges, changed, strict=True)
        ]

    def last(self, start: bytes, stop: bytes | None) -> bytes | None:
        newest: bytes | None = None
        if self._delta is not None:
            low, high = self._range(start, stop)
            while high > low and self._delta.values[high - 1] is None:
                high -= 1
            if high > low:
                newest = self._delta.keys[high - 1]
        stored = self.store.last(start, stop)
        while stored is not None and self._rows.get(stored, _ABSENT) is None:
            stored = self.store.last(start, stored)
        if newest is None or stored is None:
            return newest or stored
        return max(newest, stored)

    def _range(self, start: bytes, stop: bytes | None) -> tuple[int, int]:
        if self._delta is None:
            return 0, 0
        keys = self._delta.keys
        return bisect_left(keys, start), len(keys) if stop is None else bisect_left(keys, stop)


def _merge(
    newer: Iterable[tuple[bytes, bytes | None]],
    older: Iterable[tuple[bytes, bytes]],
    before: Callable[[bytes, bytes], bool],
) -> Iterator[tuple[bytes, bytes]]:
    changes = iter(newer)
    change = next(changes, None)
    for row in older:
        while change is not None and before(change[0], row[0]):
            if change[1] is not None:
                yield change[0], change[1]
            change = next(changes, None)
        if change is None or change[0] != row[0]:
            yield row
            continue
        if change[1] is not None:
            yield change[0], change[1]
        change = next(changes, None)
    while change is not None:
        if change[1] is not None:
            yield change[0], change[1]
        change = next(changes, None)
