"""The `ctx` argument of a ProcessFunction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rayflow.api.process import Context, TimerClock
from rayflow.core.batch import Headers, Origin
from rayflow.core.clock import Clock
from rayflow.core.errors import InvalidJob
from rayflow.core.ids import WATERMARK_MIN
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
        if type(at) is not int:
            raise TypeError(f"timer_at takes ms since the Unix epoch (int), not a {type(at).__name__}")
        self._timers[clock].add(at, self.key)

    def timer_in(self, duration: timedelta, *, clock: TimerClock = "event") -> None:
        start = self.timestamp if clock == "event" else self._clock()
        self.timer_at(start + duration // _MILLISECOND, clock=clock)
