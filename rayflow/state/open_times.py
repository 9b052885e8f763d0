"""The open epoch's rows of an ordered table, by time, so that dropping by time costs only the dropped rows."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import Any

from rayflow.state.timed_rows import OpenRows, TimedRows


class OpenTimes:
    """When each key has its first row. A key is registered once, under a time that is not after its first row."""

    def __init__(self, opened: dict[Any, OpenRows]) -> None:
        self._opened = opened
        self._heap: list[tuple[int, int, Any]] = []
        self._added: list[tuple[int, int, Any]] = []
        self._number = count()

    def register(self, key: Any, rows: OpenRows, time: int) -> None:
        """Register that the key has a row at `time`, before all others."""
        rows.head = time
        self._added.append((time, next(self._number), key))

    def cut(self, before: int) -> Iterator[tuple[Any, TimedRows]]:
        """Remove all rows with time < before, and yield them by key. Iterate to the end."""
        heap = self._heap
        for entry in self._added:
            heappush(heap, entry)
        self._added.clear()
        while heap and heap[0][0] < before:
            time, _, key = heappop(heap)
            rows = self._opened[key]
            if rows.head != time:
                continue  # it was registered again, under an earlier time
            gone = rows.cut(before)
            rows.head = rows.times[0] if rows.times else None
            if rows.head is not None:
                heappush(heap, (rows.head, next(self._number), key))
            yield key, gone
