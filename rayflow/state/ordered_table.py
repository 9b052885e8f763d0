"""State by key and time, for joins, sessions and versions of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayflow.core.errors import InvariantBroken
from rayflow.serde.codec import Codec
from rayflow.serde.keys import encode_all_canonical, encode_canonical
from rayflow.state.base import RowReader
from rayflow.state.cache import CleanCache
from rayflow.state.open_times import OpenTimes
from rayflow.state.state_table import StateTable
from rayflow.state.time_keys import FIRST, LAST, LONGEST, TimeKeys, check_hash, index_value, stored
from rayflow.state.timed_below import TimedBelow
from rayflow.state.timed_cache import TimedCache
from rayflow.state.timed_rows import OpenRows, TimedRows


class OrderedTable(StateTable):
    """Rows (key, time) -> value. Rows with the same key and time stay in order of arrival, by a sequence number.

    Times are ms. A value is never None. Do not change a value that was read: `replace` it.

    It has no TTL: a row's own time is the start of its life, so `drop(now - ttl)` has the same effect. An index by time
    limits the cost of dropping to the dropped rows. In return, each row has an entry in the index.
    """

    def __init__(
        self, operator: str, name: str, below: RowReader, prefix: bytes, codec: Codec, cache: CleanCache
    ) -> None:
        super().__init__(operator, name, codec)
        self._keys = TimeKeys(prefix)
        self._below = TimedBelow(below, self._keys, self._decode_all, TimedCache(cache))
        self._begin()

    def _begin(self) -> None:
        self._opened: dict[Any, OpenRows] = {}
        self._times = OpenTimes(self._opened)
        self._rows = 0

    def put(self, keys: Sequence[Any], times: Sequence[int], values: Sequence[Any]) -> None:
        """Add rows, each after the existing ones of its key and time. Raises InvariantBroken for an invalid time."""
        if not times:
            return
        newest, first = self._below.last_time(), min(times)
        if first < FIRST or max(times) > LAST:
            raise InvariantBroken("a row's time is out of bounds", operator=self._operator)
        if first <= newest and len(times) > 1:
            old = [(key, time) for key, time in zip(keys, times, strict=True) if time <= newest]
            self._below.read(_spans([key for key, _ in old], *[[time for _, time in old]] * 2))
        opened, next_sequence = self._opened, self._below.next_sequence
        added = 0
        try:
            for key, time, value in zip(keys, times, values, strict=True):
                rows = opened.get(key)
                if rows is None:
                    rows = opened[key] = OpenRows()
                own = rows.times
                if own and own[-1] >= time:
                    rows.add(time, rows.next_sequence(time) or next_sequence(key, time), value)
                else:
                    sequence = 0 if time > newest else next_sequence(key, time)
                    own.append(time)
                    rows.sequences.append(sequence)
                    rows.values.append(value)
                if rows.head is None or time < rows.head:
                    self._times.register(key, rows, time)
                added += 1
        finally:
            self._rows += added

    def replace(self, key: Any, time: int, sequence: int, value: Any) -> None:
        """Replace the value of an existing row."""
        rows = self._opened.get(key)
        if rows is None:
            rows = self._opened[key] = OpenRows()
        at = rows.find(time, sequence)
        if at is not None:
            rows.values[at] = value
            return
        self._below.hide(key, time, sequence)
        rows.add(time, sequence, value)
        self._rows += 1
        if rows.head is None or time < rows.head:
            self._times.register(key, rows, time)

    def delete(self, key: Any, time: int, sequence: int) -> None:
        """Delete a row, if it exists."""
        rows = self._opened.get(key)
        if rows is not None and rows.remove(time, sequence):
            self._rows -= 1  # a row below that is now hidden, or no row
        else:
            self._below.hide(key, time, sequence)

    def range(
        self, key: Any, first: int, last: int, *, newest_first: bool = False, limit: int | None = None
    ) -> TimedRows:
        """The rows of a key with first <= time <= last, in order or newest first; at most `limit` of them."""
        first, last = max(first, FIRST), min(last, LAST)
        if first > last:
            return TimedRows([], [], [])
        rows = self._below.rows(key, first, last, newest_first, limit)
        opened = self._opened.get(key)
        if opened is not None and opened.times:
            mine = opened.some(first, last, newest_first, limit)
            if mine.times:
                rows = rows.merged(mine).some(first, last, newest_first, limit) if rows.times else mine
        return rows.reversed() if newest_first else rows

    def prefetch(self, keys: Sequence[Any], firsts: Sequence[int], lasts: Sequence[int]) -> None:
        """Read at once what separate `range` calls would read: for each key the times from `firsts` to `lasts`."""
        self._below.prefetch(_spans(keys, firsts, lasts))

    def newest(self) -> int | None:
        """The time of the last row of all keys; None if there is no row. It checks every key of the open epoch."""
        times = [rows.times[-1] for rows in self._opened.values() if rows.times]
        below = self._below.newest()
        if below is not None:
            times.append(below)
        return max(times, default=None)

    def drop(self, before: int) -> None:
        """Delete all rows with time < before, of all keys."""
        self._below.drop(min(before, LAST + 1))
        for _, gone in self._times.cut(before):
            self._rows -= len(gone)

    def take(self, before: int) -> list[tuple[int, Any, Any]]:
        """Like `drop`, but returns the rows: (time, key, value) in order of time, then key, then arrival."""
        taken = self._below.dropped_rows(self._below.drop(min(before, LAST + 1)))
        for key, gone in self._times.cut(before):
            self._rows -= len(gone)
            base = self._keys.base(encode_canonical(key))
            for time, sequence, value in zip(gone.times, gone.sequences, gone.values, strict=True):
                taken.append((self._keys.row_and_index(base, time, sequence)[1], key, value))
        taken.sort(key=_index)
        return [(self._keys.indexed_time(index), key, value) for index, key, value in taken]

    @property
    def pending(self) -> int:
        return self._rows + self._below.pending

    def collect(self, changed: dict[bytes, bytes | None]) -> tuple[int, int]:
        opened = {key: rows for key, rows in self._opened.items() if rows.times}
        values = [value for rows in opened.values() for value in rows.values]
        data = self._encode(values)
        changed.update(dict.fromkeys(self._below.tombstones()))
        remaining = iter(data)
        long: dict[bytes, bytes] = {}
        for rows, encoded in zip(opened.values(), encode_all_canonical(opened), strict=True):
            base = self._keys.base(encoded)
            if len(encoded) > LONGEST:
                check_hash(encoded, long.setdefault(base, encoded))
                self._below.check_hash(base, encoded)
            pairs = [self._keys.row_and_index(base, *at) for at in zip(rows.times, rows.sequences, strict=True)]
            changed.update([(row, stored(encoded, next(remaining))) for row, _ in pairs])
            changed.update(dict.fromkeys([index for _, index in pairs], index_value(encoded)))
        return len(data), self._sealing_bytes

    def turn(self) -> None:
        self._below.turn(self._opened)
        self._begin()


def _spans(keys: Sequence[Any], firsts: Sequence[int], lasts: Sequence[int]) -> dict[Any, tuple[int, int]]:
    """The requested period of each key.

    >>> _spans(["a", "b", "a"], [1, 2, 3], [4, 5, 6])
    {'a': (1, 6), 'b': (2, 5)}
    """
    spans: dict[Any, tuple[int, int]] = {}
    for key, first, last in zip(keys, firsts, lasts, strict=True):
        known = spans.get(key)
        if known is not None:
            first, last = min(first, known[0]), max(last, known[1])
        spans[key] = max(first, FIRST), min(last, LAST)
    return spans


def _index(row: tuple[bytes, Any, Any]) -> bytes:
    return row[0]
