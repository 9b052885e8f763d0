"""Measures how long sources were polled, to tell an idle partition from one that was not read."""

from __future__ import annotations

from rayflow.api.specs.stream import StreamSpec
from rayflow.core.clock import Clock
from rayflow.plan.physical import JobPlan

SHORTEST = 50
"""A pause between two polls of up to this many ms is never a break: polls cannot follow each other faster."""


class Listening:
    """The last period of time in which the sources were polled without a break.

    A break is a time in which the sources were held or unavailable. A pause between two polls is also a break if it is
    at least half of the shortest `idle_after` (the process was suspended, or a function took long): records may have
    arrived in it, and the first poll after it may not return them yet.

    Attributes:
        wanted: whether any stream of the job can be idle at all.
        since, until: the period, in ms of the wall clock. `until` is the start of the last poll.
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
        """Note that the sources are polled now."""
        now = self._clock()
        if self._broken or not 0 <= now - self.until <= self._longest:
            self.since = now
            self._broken = False
        self.until = now

    def on_break(self) -> None:
        """Note that the sources are held or unavailable: the next period begins with the next poll."""
        self._broken = True
