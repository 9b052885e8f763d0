"""Measures how long sources were polled, to tell an idle partition from one that was not read."""

from __future__ import annotations

from rayflow.api.specs.stream import StreamSpec
from rayflow.core.clock import Clock
from rayflow.plan.physical import JobPlan

SHORTEST = 50
"""Pause between two polls, in ms, that is never a break: they follow one another as fast as the machine lets them."""


class Listening:
    """The last stretch of time over which the sources were polled without a break.

    A break is time in which they were held or out of reach; or so long a pause between two polls that it would make
    up half of what some stream calls idle (the process was suspended, or a function took its time): records may have
    come meanwhile, and the first poll after it need not have them yet.

    Attributes:
        wanted: whether any stream of the job can be idle at all.
        since, until: the stretch, in ms of the wall clock. `until` is when the last poll began.
    """

    def __init__(self, plan: JobPlan, clock: Clock) -> None:
        specs = [operator.spec for stage in plan.stages for operator in stage.operators]
        patience = [spec.idle_after for spec in specs if isinstance(spec, StreamSpec) and spec.idle_after is not None]
        self.wanted = bool(patience)
        self.since = self.until = clock()
        self._clock = clock
        self._longest = max(min(patience, default=0) // 2, SHORTEST)
        self._broken = False

    def on_poll(self) -> None:
        """The sources are polled now."""
        now = self._clock()
        if self._broken or not 0 <= now - self.until <= self._longest:
            self.since = now
            self._broken = False
        self.until = now

    def on_break(self) -> None:
        """The sources are held, or out of reach: the next stretch begins with the next poll."""
        self._broken = True
