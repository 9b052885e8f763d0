"""When the next barrier is due: by the clock, on request, or to end the attempt."""

from __future__ import annotations

from typing import Literal, TypeAlias

AttemptEnding: TypeAlias = Literal["stop", "drain", "restart"]
"""stop: after a last checkpoint. drain: with everything read and fired. restart: another attempt follows at once."""


class BarrierSchedule:
    """Decides on the next barrier. Requests count from before the first.

    Attributes:
        now: the latest time, ms; set by whoever has a clock.
        ending: how the attempt is to end, once that is decided. The first decision holds, but for a drain that is asked
        for before the last barrier went out: it replaces a stop.
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
        """Have a barrier as soon as one may be."""
        self._requested = True

    def end(self, ending: AttemptEnding) -> None:
        """Have the attempt end with its next barrier."""
        if self.ending is None:
            self.ending = ending

    def drain(self) -> None:
        """Have the attempt end with everything fired, also if it was to stop; too late once its last barrier is out."""
        if self.ending is None or (self.ending == "stop" and not self._final):
            self.ending = "drain"

    @property
    def requested(self) -> bool:
        """Whether a barrier is wanted before its time."""
        return self._requested or self.ending is not None

    def due(self, changed: bool) -> bool:
        """Whether a barrier goes out now. `changed`: whether there is anything to checkpoint or to note down."""
        if self._last is None or self.now < self._last:  # the first look, or a clock set back
            self._last = self.now
        return self.requested or (changed and self.now - self._last >= self._interval)

    def sent(self) -> None:
        """A barrier goes out."""
        self._last = self.now
        self._requested = False
        self._final = self.ending is not None
