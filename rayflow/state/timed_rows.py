"""Rows of one key in memory, in order of time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import Any

from rayflow.state.time_keys import FIRST, LAST

_by_position = itemgetter(0, 1)


class TimedRows:
    """Columns of the same length, in order of time (ms), then sequence, which orders rows with the same time.

    >>> rows = TimedRows([5, 5, 9], [0, 1, 0], ["a", "b", "c"])
    >>> rows.part(*rows.between(5, 8)).values
    ['a', 'b']
    """

    __slots__ = ("sequences", "times", "values")

    def __init__(self, times: list[int], sequences: list[int], values: list[Any]) -> None:
        self.times = times
        self.sequences = sequences
        self.values = values

    def __len__(self) -> int:
        return len(self.times)

    def between(self, first: int, last: int) -> tuple[int, int]:
        """The slice of the rows with first <= time <= last."""
        start = bisect_left(self.times, first)
        return start, bisect_right(self.times, last, start)

    def some(self, first: int, last: int, newest: bool, limit: int | None) -> TimedRows:
        """The rows with first <= time <= last; the first or the last `limit` of them."""
        start, stop = self.between(first, last)
        if limit is not None and stop - start > limit:
            start, stop = (stop - limit, stop) if newest else (start, start + limit)
        return self.part(start, stop)

    def part(self, start: int, stop: int) -> TimedRows:
        """A slice."""
        return TimedRows(self.times[start:stop], self.sequences[start:stop], self.values[start:stop])

    def merged(self, other: TimedRows) -> TimedRows:
        """These rows merged with those of `other`; they have none in common."""
        if not other.times:
            return self
        if not self.times:
            return other
        if other.times[-1] < self.times[0]:
            return other.merged(self)
        times, sequences, values = (
            self.times + other.times,
            self.sequences + other.sequences,
            self.values + other.values,
        )
        if self.times[-1] >= other.times[0]:
            rows = sorted(zip(times, sequences, values, strict=True), key=_by_position)
            times, sequences, values = (list(column) for column in zip(*rows, strict=True))
        return TimedRows(times, sequences, values)

    def reversed(self) -> TimedRows:
        """The rows, newest first."""
        return TimedRows(self.times[::-1], self.sequences[::-1], self.values[::-1])

    def next_sequence(self, time: int) -> int:
        """The sequence for a row that is added at `time`."""
        end = bisect_right(self.times, time)
        return self.sequences[end - 1] + 1 if end and self.times[end - 1] == time else 0

    def find(self, time: int, sequence: int) -> int | None:
        """The index of a row."""
        start, stop = self.between(time, time)
        at = bisect_left(self.sequences, sequence, start, stop)
        return at if at < stop and self.sequences[at] == sequence else None

    def add(self, time: int, sequence: int, value: Any) -> None:
        """Insert a row that is not there yet."""
        start, stop = self.between(time, time)
        at = bisect_left(self.sequences, sequence, start, stop)
        self.times.insert(at, time)
        self.sequences.insert(at, sequence)
        self.values.insert(at, value)

    def remove(self, time: int, sequence: int) -> bool:
        """Remove a row. Returns whether it was there."""
        at = self.find(time, sequence)
        if at is None:
            return False
        del self.times[at], self.sequences[at], self.values[at]
        return True

    def cut(self, before: int) -> TimedRows:
        """Remove the rows with time < before, and return them."""
        end = bisect_left(self.times, before)
        gone = self.part(0, end)
        if end:
            del self.times[:end], self.sequences[:end], self.values[:end]
        return gone


class OpenRows(TimedRows):
    """Rows of one key that the open epoch has written.

    Attributes:
        head: the time under which the key is registered for drops, or None.
    """

    __slots__ = ("head",)

    def __init__(self) -> None:
        super().__init__([], [], [])
        self.head: int | None = None


class CleanRows(TimedRows):
    """All rows of one key with low <= time <= high that are below the open epoch and that it does not hide."""

    __slots__ = ("high", "low")

    def __init__(self, rows: TimedRows, low: int, high: int) -> None:
        super().__init__(rows.times, rows.sequences, rows.values)
        self.low = low
        self.high = high

    def covers(self, first: int, last: int) -> bool:
        """Whether all rows with first <= time <= last are here."""
        return self.low <= first and last <= self.high

    def gaps(self, first: int, last: int) -> list[tuple[int, int]]:
        """The spans to read in order to cover first to last, too. If they do not touch the rows here, all of these are
        dropped."""
        if first > self.high + 1 or last < self.low - 1:
            self.times, self.sequences, self.values = [], [], []
            self.low, self.high = first, first - 1
            return [(first, last)]
        gaps = []
        if first < self.low:
            gaps.append((first, self.low - 1))
        if last > self.high:
            gaps.append((self.high + 1, last))
        return gaps

    def fill(self, rows: TimedRows, first: int, last: int, bounds: tuple[int, int]) -> None:
        """Add the rows of a gap. `bounds`: no row of the table is before or after these times."""
        merged = self.merged(rows)
        self.times, self.sequences, self.values = merged.times, merged.sequences, merged.values
        self.low, self.high = min(self.low, first), max(self.high, last)
        if self.low <= bounds[0]:
            self.low = FIRST
        if self.high >= bounds[1]:
            self.high = LAST

    def take_over(self, rows: OpenRows) -> int:
        """Add the covered rows of a sealed epoch. Returns their number."""
        if self.low > FIRST or self.high < LAST:
            start, stop = rows.between(self.low, self.high)
            added = rows.part(start, stop)
        else:
            added = rows
        if not self.times or (added.times and added.times[0] > self.times[-1]):
            self.times += added.times
            self.sequences += added.sequences
            self.values += added.values
        else:
            for time, sequence, value in zip(added.times, added.sequences, added.values, strict=True):
                self.add(time, sequence, value)
        return len(added)
