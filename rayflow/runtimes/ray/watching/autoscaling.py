"""Decides when a job scales up or down, from its status. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SUSTAINED = 10.0
"""Seconds for which workers must be too busy, or too idle, before that counts."""
BUSY = 0.85
"""Share of the time that workers are busy from which on they are too few, if records wait."""
AIM = 0.7
"""Share of the time that workers are to be busy after they have become fewer."""
CATCHES_UP = 10.0
"""Seconds of work that may wait before more workers are worth a pause."""


@dataclass(frozen=True, slots=True)
class Load:
    """A job's load at one moment.

    Attributes:
        busy: share of the time that each worker has been busy, 0 to 1. lag: records that wait; None if unknown.
        rate: records in per second.
    """

    busy: Sequence[float]
    lag: int | None
    rate: float


class Autoscaling:
    """Doubles the workers while they are busy and fall behind, and takes away those that idleness has made needless.

    Each change costs a barrier and the restart of tasks that move, so it has to be wanted for `SUSTAINED` seconds, and
    `cooldown` seconds lie between two.

    >>> scaling = Autoscaling(least=1, most=4, cooldown=60)
    >>> behind = Load([0.95, 0.9], lag=100_000, rate=1_000)
    >>> [scaling.wanted(behind, now) for now in (0.0, 5.0, 10.0)]
    [None, None, 4]
    """

    def __init__(self, least: int, most: int, cooldown: float) -> None:
        """`least` and `most` workers; with `most` <= `least` nothing is ever changed."""
        self._least = least
        self._most = most
        self._cooldown = cooldown
        self._direction = 0
        self._since = 0.0
        self._quiet_until = float("-inf")

    def wanted(self, load: Load, now: float) -> int | None:
        """How many workers there should be instead, if it is time for that. `now`: seconds, monotonic."""
        workers = len(load.busy)
        wanted = self._of(workers, load)
        direction = (wanted > workers) - (wanted < workers)
        if direction != self._direction:
            self._direction, self._since = direction, now
        if direction == 0 or now - self._since < SUSTAINED or now < self._quiet_until:
            return None
        self._direction, self._quiet_until = 0, now + self._cooldown
        return wanted

    def _of(self, workers: int, load: Load) -> int:
        if self._most <= self._least or not workers or load.lag is None:
            return workers
        busy = sum(load.busy)
        behind = load.lag > load.rate * CATCHES_UP
        if behind and busy > BUSY * workers:
            return max(workers, min(self._most, 2 * workers))
        if behind:  # held up by something else than its processors
            return workers
        needed = -int(-busy // AIM)
        return min(workers, max(self._least, needed))
