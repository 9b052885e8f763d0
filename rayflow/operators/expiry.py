"""Time to live of state: a row that was not written for that long is no longer visible, and is deleted.

Time is event time: a row written at t is not visible at t + ttl and later. The time of an access is the record's
timestamp or the watermark, whichever is later (for a timer: its own time). As long as there is no watermark, a row also
expires when the wall clock has advanced by ttl since it was written, so that streams without event time do not keep
state forever.

Each row with a TTL has one internal timer, in coarse buckets of time. Writing the row again does not move it: when the
timer fires, it checks the row, and is set again if the row has not expired.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

from rayflow.core.ids import WATERMARK_MIN
from rayflow.state.timer_table import TimerTable

LiveRow = list[Any]
"""[content], or with a TTL [content, written (event time), written (wall clock; 0 if it expires by event time),
timer]."""


class Moment(Protocol):
    """The key and the time of the current access to state."""

    key: Any
    wall: int
    """The wall clock, ms."""

    @property
    def now(self) -> int:
        """Event time, ms."""

    @property
    def has_event_time(self) -> bool:
        """Whether there was a watermark."""


class Expiring(ABC):
    """A state with a TTL, as seen by the sweep."""

    @abstractmethod
    def row_of(self, key: Any) -> LiveRow | None:
        """The row for which a timer with this key was set."""

    @abstractmethod
    def put_back(self, key: Any, row: LiveRow) -> None:
        """Store the row with the new time of its timer."""

    @abstractmethod
    def forget(self, key: Any) -> None:
        """Delete the row of this key."""


class Sweep:
    """The internal timers of all states of one operator that have a TTL."""

    def __init__(self, by_event: TimerTable, by_wall: TimerTable) -> None:
        self.by_event = by_event
        self.by_wall = by_wall
        self._states: dict[str, tuple[Expiring, TimeToLive]] = {}

    def register(self, name: str, state: Expiring, ttl: TimeToLive) -> None:
        """Include this state in the sweep."""
        self._states[name] = (state, ttl)

    def on_watermark(self, watermark: int) -> None:
        """Delete what has expired by event time."""
        for _, key, name in self.by_event.due(watermark):
            state, ttl = self._states[name]
            row = state.row_of(key)
            if row is None:
                continue
            if row[1] + ttl.ttl <= watermark:
                state.forget(key)
            else:
                state.put_back(key, ttl.armed(key, [*row[:2], 0, 0], row[1]))

    def on_clock(self, now: int, watermark: int) -> None:
        """Delete what has expired by the wall clock. When there is a watermark, switch the rows to event time."""
        for _, key, name in self.by_wall.due(now):
            state, ttl = self._states[name]
            row = state.row_of(key)
            if row is None:
                continue
            if WATERMARK_MIN < watermark < row[1] + ttl.ttl:
                state.put_back(key, ttl.armed(key, [*row[:2], 0, 0], row[1]))
            elif watermark > WATERMARK_MIN or row[2] + ttl.ttl <= now:
                state.forget(key)
            else:
                state.put_back(key, ttl.armed(key, row[:], row[2]))


class TimeToLive:
    """The TTL (ms) of one state: stamps its rows, and decides which have expired."""

    def __init__(self, name: str, ttl: int, sweep: Sweep, moment: Moment) -> None:
        self.name = name
        self.ttl = ttl
        self._bucket = max(1_000, ttl // 16)
        self._sweep = sweep
        self._moment = moment

    def expired(self, row: LiveRow) -> bool:
        """Whether the row must no longer be visible."""
        moment, ttl = self._moment, self.ttl
        if moment.now >= row[1] + ttl:
            return True
        return bool(row[2]) and not moment.has_event_time and moment.wall >= row[2] + ttl

    def stamped(self, old: LiveRow | None, content: Any, key: Any) -> LiveRow:
        """The row to write now. `key`: the key of its timer. `old`: the row that it replaces."""
        moment = self._moment
        if old is not None:
            return [content, max(old[1], moment.now), moment.wall if old[2] else 0, old[3]]
        if moment.has_event_time:
            return self.armed(key, [content, moment.now, 0, 0], moment.now)
        return self.armed(key, [content, moment.now, moment.wall, 0], moment.wall)

    def armed(self, key: Any, row: LiveRow, written: int) -> LiveRow:
        """`row` with a timer for the end of the bucket in which it expires."""
        bucket = self._bucket
        row[3] = -(-(written + self.ttl) // bucket) * bucket
        self._timers(row).add(row[3], key, self.name)
        return row

    def disarm(self, row: LiveRow | None, key: Any) -> None:
        """Remove the timer of a deleted row."""
        if row is not None:
            self._timers(row).remove(row[3], key, self.name)

    def _timers(self, row: LiveRow) -> TimerTable:
        return self._sweep.by_wall if row[2] else self._sweep.by_event
