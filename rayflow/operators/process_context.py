"""The `ctx` argument of a ProcessFunction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rayflow.api.process import Context, TimerClock
from rayflow.core.batch import Headers, Origin
from rayflow.core.clock import Clock
from rayflow.core.errors import InvalidJob, UserFunctionFailed
from rayflow.core.ids import WATERMARK_MIN
from rayflow.operators.time_column import LAST_TIME
from rayflow.operators.timers import Timers

_MILLISECOND = timedelta(milliseconds=1)


class RecordContext(Context):
    """One object for all records and timers of an operator, which moves it from one to the next.

    Attributes:
        wall: the wall clock in ms at the start of the batch.
        floor: the lowest watermark for reading state.
        timers: by clock; {} if the function cannot have timers, for the reason in `no_timers`.
    """

    def __init__(self, operator: str, clock: Clock, timers: dict[TimerClock, Timers], no_timers: str) -> None:
        self.key: Any = None
        self.timestamp = 0
        self.watermark = WATERMARK_MIN
        self.headers: Headers = []
        self.offset = -1
        self.wall = 0
        self.floor = WATERMARK_MIN
        self._operator = operator
        self._clock = clock
        self._timers = timers
        self._no_timers = no_timers

    def place(self, origin: Origin, watermark: int, floor: int) -> None:
        """Move to another batch, or to timers."""
        self.topic, self.partition = origin
        self.watermark = watermark
        self.floor = floor
        self.wall = self._clock()

    @property
    def now(self) -> int:
        """Event time for state: the record's, or the watermark if it is later."""
        return self.timestamp if self.timestamp > self.floor else self.floor

    @property
    def has_event_time(self) -> bool:
        """Whether there was a watermark."""
        return self.floor > WATERMARK_MIN

    def timer_at(self, at: int, *, clock: TimerClock = "event") -> None:
        if not self._timers:
            raise InvalidJob(f"A timer is set, but {self._no_timers}", operator=self._operator)
        if clock not in self._timers:
            raise _refused("timer_at", f"clock={clock!r}", 'Use clock="event" or clock="processing"')
        if type(at) is not int:
            raise _refused("timer_at", f"a time of type {type(at).__name__}", "Give ms since the Unix epoch (int)")
        if not -LAST_TIME <= at <= LAST_TIME:
            what = "a time beyond the year 9999" if at > 0 else "a time thousands of years ago"
            raise _refused("timer_at", what, "Give milliseconds since the Unix epoch, not micro- or nanoseconds")
        self._timers[clock].add(at, self.key)

    def timer_in(self, duration: timedelta, *, clock: TimerClock = "event") -> None:
        if not isinstance(duration, timedelta):
            raise _refused("timer_in", f"a {type(duration).__name__}", "Give a duration: timedelta(minutes=10)")
        start = self.timestamp if clock == "event" else self._clock()
        self.timer_at(start + duration // _MILLISECOND, clock=clock)


def _refused(method: str, what: str, advice: str) -> UserFunctionFailed:
    return UserFunctionFailed(f"{method}() is given {what}", advice=advice)
