"""The rows of an ordered table below its open epoch: reads, caches and hides them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from rayflow.serde.keys import decode_key, encode_all_canonical, encode_canonical
from rayflow.state.base import RowReader
from rayflow.state.time_keys import FIRST, LAST, TimeKeys, data_of, positions_of
from rayflow.state.timed_cache import TimedCache
from rayflow.state.timed_rows import CleanRows, OpenRows, TimedRows

WHOLE = 16
"""A key with at most this many rows is read whole, so that it is read once."""

Found = list[tuple[bytes, bytes]]


class TimedBelow:
    """Reads the sealed epoch and the store, keeps what it has read, and omits what the open epoch hides.

    For each key it keeps all rows in a span of time; a seal adds the rows of the epoch. So a key is read again only for
    times that were not requested before.
    """

    def __init__(
        self, below: RowReader, keys: TimeKeys, decode_all: Callable[[list[bytes]], list[Any]], cache: TimedCache
    ) -> None:
        self._below = below
        self._keys = keys
        self._decode_all = decode_all
        self._cache = cache
        self._oldest = FIRST
        """A lower bound for the first time."""
        self._newest: int | None = None
        """An upper bound for the last time; None if unknown."""
        self._begin()

    def _begin(self) -> None:
        self._floor = FIRST
        """Rows before this time were dropped."""
        self._hidden: dict[Any, set[tuple[int, int]]] = {}
        self._hidden_rows = 0
        self._dropped: list[bytes] = []
        self._ahead: dict[Any, CleanRows] = {}
        """The rows that the last `prefetch` requested, in the cache or not."""

    # reading

    def rows(self, key: Any, first: int, last: int, newest: bool, limit: int | None) -> TimedRows:
        """The rows with first <= time <= last, in order; the first or the last `limit` of them."""
        if last < self._floor:
            return TimedRows([], [], [])
        clean = self._clean(key)
        if clean is None or not clean.covers(first, last):
            if limit is None:
                clean = self.read({key: (first, last)})[key]
            else:
                clean = self._read_whole([key]).get(key) if clean is None else None
                if clean is None:
                    return self._few(key, first, last, newest, limit)
        return clean.some(first, last, newest, limit)

    def prefetch(self, wanted: Mapping[Any, tuple[int, int]]) -> None:
        """Read what `rows` would read, for each key from first to last, and keep it until the next call."""
        self._ahead = self.read(wanted)

    def read(self, wanted: Mapping[Any, tuple[int, int]]) -> dict[Any, CleanRows]:
        """The clean rows of each key, at least from first to last; they go to the cache."""
        known = {key: self._clean(key) for key in wanted}
        known.update(self._read_whole([key for key, rows in known.items() if rows is None]))
        result: dict[Any, CleanRows] = {}
        gaps: list[tuple[Any, int, int]] = []
        for key, (first, last) in wanted.items():
            rows = known[key]
            if rows is None:
                rows = CleanRows(TimedRows([], [], []), first, first - 1)
            result[key] = rows
            if not rows.covers(first, last):
                gaps += [(key, *gap) for gap in rows.gaps(first, last)]
        if gaps:
            self._fill(result, gaps)
        return result

    def last_time(self) -> int:
        """An upper bound: no row is later."""
        if self._newest is None:
            index = self._below.last(self._keys.index_from(FIRST), self._keys.index_end)
            self._newest = FIRST - 1 if index is None else self._keys.indexed_time(index)
        return self._newest

    def newest(self) -> int | None:
        """The time of the last row that the open epoch does not hide; None if there is none."""
        keys, start = self._keys, max(self._oldest, self._floor)
        for index, value in self._below.scan_back(keys.index_from(start), keys.index_end):
            hidden = self._hidden.get(decode_key(keys.indexed_key(index, value))[0], ()) if self._hidden else ()
            time = keys.indexed_time(index)
            if (time, keys.indexed_sequence(index)) not in hidden:
                return time
        return None

    def next_sequence(self, key: Any, time: int) -> int:
        """The sequence for a row that is added after those at `time`."""
        if time < self._floor or time > self.last_time():
            return 0
        clean = self._clean(key)
        if clean is None or not clean.covers(time, time):
            clean = self.read({key: (time, time)})[key]
        return clean.next_sequence(time)

    def _clean(self, key: Any) -> CleanRows | None:
        rows = self._ahead.get(key)
        return self._cache.find(key) if rows is None else rows

    def _read_whole(self, keys: list[Any]) -> dict[Any, CleanRows]:
        """The clean rows of those of `keys` that have few rows, and none in the cache."""
        if not keys:
            return {}
        encoded = encode_all_canonical(keys)
        spans = [self._keys.span(base, FIRST, LAST) for base in map(self._keys.base, encoded)]
        found = self._below.scan_many(spans, WHOLE + 1)
        few = [at for at, rows in enumerate(found) if len(rows) <= WHOLE]
        small = [keys[at] for at in few]
        loaded, size = self._loaded(small, [encoded[at] for at in few], [found[at] for at in few])
        result = {key: CleanRows(rows, FIRST, LAST) for key, rows in zip(small, loaded, strict=True)}
        self._cache.keep(result, size)
        return result

    def _fill(self, clean: Mapping[Any, CleanRows], gaps: list[tuple[Any, int, int]]) -> None:
        keys = [key for key, _, _ in gaps]
        encoded = encode_all_canonical(keys)
        bases = map(self._keys.base, encoded)
        spans = [self._keys.span(base, *gap[1:]) for base, gap in zip(bases, gaps, strict=True)]
        loaded, size = self._loaded(keys, encoded, self._below.scan_many(spans))
        bounds = self._oldest, self.last_time()
        for (key, first, last), rows in zip(gaps, loaded, strict=True):
            clean[key].fill(rows, first, last, bounds)
        self._cache.keep({key: clean[key] for key in keys}, size)

    def _loaded(self, keys: list[Any], encoded: list[bytes], found: list[Found]) -> tuple[list[TimedRows], int]:
        """The visible rows among those found for each key, and their bytes."""
        read: list[tuple[list[int], list[int]]] = []
        data: list[bytes] = []
        for key, own, rows in zip(keys, encoded, found, strict=True):
            times, sequences = positions_of(rows)
            if times and (key in self._hidden or times[0] < self._floor):
                hidden, floor = self._hidden.get(key, ()), self._floor
                seen = [at >= (floor, 0) and at not in hidden for at in zip(times, sequences, strict=True)]
                rows = [row for row, kept in zip(rows, seen, strict=True) if kept]
                times, sequences = positions_of(rows)
            read.append((times, sequences))
            data += [data_of(own, value) for _, value in rows]
        values = iter(self._decode_all(data))
        loaded = [TimedRows(times, sequences, list(islice(values, len(times)))) for times, sequences in read]
        return loaded, sum(map(len, data))

    def _few(self, key: Any, first: int, last: int, newest: bool, limit: int) -> TimedRows:
        """The first or last `limit` rows of a key that has too many rows to keep them."""
        encoded = encode_canonical(key)
        start, stop = self._keys.span(self._keys.base(encoded), max(first, self._floor), last)
        scanned = self._below.scan_back(start, stop) if newest else self._below.scan(start, stop)
        found = list(islice(scanned, limit + len(self._hidden.get(key, ()))))
        (rows,), _ = self._loaded([key], [encoded], [found[::-1] if newest else found])
        return rows.some(first, last, newest, limit)

    # hiding

    def hide(self, key: Any, time: int, sequence: int) -> None:
        """Record that the open epoch deletes or replaces the row, if it exists."""
        hidden = self._hidden.setdefault(key, set())
        if (time, sequence) not in hidden:
            hidden.add((time, sequence))
            self._hidden_rows += 1
        clean = self._clean(key)
        if clean is not None:
            clean.remove(time, sequence)

    def drop(self, before: int) -> list[tuple[bytes, bytes]]:
        """Hide all rows with time < before. Returns the index of those that were not dropped before."""
        start = max(self._oldest, self._floor)
        if before <= start:
            return []
        gone = list(self._below.scan(self._keys.index_from(start), self._keys.index_from(before)))
        left = next(self._below.scan(self._keys.index_from(before), self._keys.index_end), None)
        self._oldest = LAST + 1 if left is None else self._keys.indexed_time(left[0])
        self._floor = before
        for index, _ in gone:
            self._dropped += (index, self._keys.indexed_row(index))
        if self._ahead or not self._cache.is_empty:
            for key in map(decode_key, {self._keys.indexed_key(*row) for row in gone}):
                clean = self._clean(key[0])
                if clean is not None:
                    clean.cut(before)
        return gone

    def dropped_rows(self, gone: list[tuple[bytes, bytes]]) -> list[tuple[bytes, Any, Any]]:
        """The rows for a result of `drop`, as (index, key, value), without the rows that were hidden before."""
        seen: list[tuple[bytes, Any, bytes]] = []
        for index, value in gone:
            encoded = self._keys.indexed_key(index, value)
            key = decode_key(encoded)[0]
            at = self._keys.indexed_time(index), self._keys.indexed_sequence(index)
            if at not in self._hidden.get(key, ()):
                seen.append((index, key, encoded))
        found = self._below.get_many([self._keys.indexed_row(index) for index, _, _ in seen])
        data = [data_of(row[2], value) for row, value in zip(seen, found, strict=True) if value is not None]
        return [(index, key, value) for (index, key, _), value in zip(seen, self._decode_all(data), strict=True)]

    @property
    def pending(self) -> int:
        """Rows that the open epoch deletes."""
        return self._hidden_rows + len(self._dropped) // 2

    # the end of the epoch

    def check_hash(self, base: bytes, encoded: bytes) -> None:
        """Raises InvariantBroken if there are rows of another long key with the same hash."""
        row = next(self._below.scan(*self._keys.span(base, FIRST, LAST)), None)
        if row is not None:
            data_of(encoded, row[1])

    def tombstones(self) -> list[bytes]:
        """Rows that the open epoch deletes (and may have written again), with their index."""
        gone = list(self._dropped)
        for key, hidden in self._hidden.items():
            base = self._keys.base(encode_canonical(key))
            rows = [self._keys.row_and_index(base, *at) for at in sorted(hidden)]
            found = self._below.get_many([row for row, _ in rows])
            for row, data in zip(rows, found, strict=True):
                if data is not None:
                    gone += row
        return gone

    def turn(self, opened: Mapping[Any, OpenRows]) -> None:
        """Move the open epoch's rows below."""
        for key, rows in opened.items():
            if not rows.times:
                continue
            self._oldest = min(self._oldest, rows.times[0])
            if self._newest is not None:
                self._newest = max(self._newest, rows.times[-1])
            clean = self._clean(key)
            if clean is not None:
                self._cache.grew(key, clean, clean.take_over(rows))
        self._begin()
