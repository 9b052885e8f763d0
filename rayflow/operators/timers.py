"""The order in which timers fire."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

from rayflow.core.ids import WATERMARK_MAX
from rayflow.serde.keys import encode_canonical
from rayflow.state.timer_table import TimerTable


class Timers:
    """The timers of one clock. They fire in order of time, then key.

    While timers fire, `on_timer` may set a timer for a time after its own that the clock has already reached. It fires
    in the same order, so a timer that sets itself again every minute keeps up if the clock jumps an hour. A timer for
    an earlier time fires when the clock advances next. At the end of all time (WATERMARK_MAX), only timers fire that
    were set before; the others stay.
    """

    def __init__(self, table: TimerTable) -> None:
        self.table = table
        self._at: int | None = None
        self._upto = 0
        self._known: set[tuple[int, Any]] = set()
        self._added: list[tuple[int, bytes, Any]] = []

    def add(self, time: int, key: Any) -> None:
        """Set a timer. Setting it twice has no further effect."""
        if self._at is None or not self._at < time <= self._upto:
            self.table.add(time, key)
        elif (time, key) not in self._known:
            self._known.add((time, key))
            heappush(self._added, (time, encode_canonical(key), key))

    def fire(self, upto: int) -> Iterator[tuple[int, Any]]:
        """Yield each timer that is due, (time, key), and remove it."""
        due = self.table.due(upto)
        if not due:
            return
        added = self._added
        self._known = {(time, key) for time, key, _ in due}
        self._upto = upto if upto < WATERMARK_MAX else 0
        try:
            for time, key, _ in due:
                while added and added[0][:2] < (time, encode_canonical(key)):
                    yield self._pop()
                self._at = time
                yield time, key
            while added:
                yield self._pop()
        finally:
            self._at = None
            self._known = set()

    def _pop(self) -> tuple[int, Any]:
        time, _, key = heappop(self._added)
        self._at = time
        return time, key
