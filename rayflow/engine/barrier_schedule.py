"""Decides when the next barrier is due: by the clock, on request, or to end the attempt."""

from __future__ import annotations

from typing import Literal, TypeAlias

JobEnding: TypeAlias = Literal["stop", "drain", "complete"]
"""How a job ends. stop: on request, after a final checkpoint. drain: every window and timer fires first. complete: a
bounded run has read everything, and leaves open what is open."""
AttemptEnding: TypeAlias = Literal["stop", "drain", "complete", "restart"]
"""How an attempt ends: as the job does, or with a restart, that is, another attempt follows."""


class BarrierSchedule:
    """Decides when to send the next barrier. Requests before the first barrier count.

    Attributes:
        now: the latest wall clock time, ms; set by the caller.
        ending: how the attempt must end; None until decided. The first decision holds, except that a drain requested
            before the last barrier was sent replaces a stop.
    """

    def __init__(self, interval: int) -> None:
        """`interval` in ms."""
        self.now = 0
        self.ending: AttemptEnding | None = None
        self._interval = interval
        self._last: int | None = None
        self._requested = False
        self._final = False

    def request(self) -> None:
        """Request a barrier as soon as possible."""
        self._requested = True

    def end(self, ending: AttemptEnding) -> None:
        """End the attempt with the next barrier, unless its end is decided."""
        if self.ending is None:
            self.ending = ending

    def end_job(self, ending: JobEnding) -> None:
        """Like `end`, but a drain also replaces a stop until the last barrier was sent."""
        if ending == "drain" and self.ending == "stop" and not self._final:
            self.ending = ending
        self.end(ending)

    @property
    def requested(self) -> bool:
        """Whether a barrier was requested before the end of the interval."""
        return self._requested or self.ending is not None

    def due(self, changed: bool) -> bool:
        """Whether to send a barrier now. `changed`: whether there is anything to checkpoint."""
        if self._last is None or self.now < self._last:  # the first call, or a clock that was set back
            self._last = self.now
        return self.requested or (changed and self.now - self._last >= self._interval)

    def sent(self) -> None:
        """Record that a barrier was sent."""
        self._last = self.now
        self._requested = False
        self._final = self.ending is not None
