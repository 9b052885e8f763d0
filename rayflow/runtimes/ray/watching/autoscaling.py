"""Decides when a job scales up or down, from its status. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SUSTAINED = 10.0
"""Seconds for which workers must be too busy, or too idle, before a scaling."""
BUSY = 0.85
"""The share of time from which on workers count as too busy, if records wait."""
AIM = 0.7
"""The share of time that the remaining workers are to be busy after scaling down."""
CATCHES_UP = 10.0
"""Seconds of waiting work from which on more workers are worth a pause."""


@dataclass(frozen=True, slots=True)
class Load:
    """A job's load at one moment.

    Attributes:
        busy: the share of time that each worker is busy, 0 to 1.
        lag: records that wait; None if unknown.
        rate: records in per second.
    """

    busy: Sequence[float]
    lag: int | None
    rate: float


class Autoscaling:
    """Doubles the workers while they are busy and the lag is high, and removes workers that are not needed.

    Each change costs a barrier and the restart of the tasks that move. So the reason must persist for `SUSTAINED`
    seconds, and two changes are at least `cooldown` seconds apart.

    >>> scaling = Autoscaling(least=1, most=4, cooldown=60)
    >>> behind = Load([0.95, 0.9], lag=100_000, rate=1_000)
    >>> [scaling.wanted(behind, now) for now in (0.0, 5.0, 10.0)]
    [None, None, 4]
    """

    def __init__(self, least: int, most: int, cooldown: float) -> None:
        """`least` and `most`: limits of the number of workers; if `most` <= `least`, it never changes."""
        self._least = least
        self._most = most
        self._cooldown = cooldown
        self._direction = 0
        self._since = 0.0
        self._quiet_until = float("-inf")

    def wanted(self, load: Load, now: float) -> int | None:
        """The new number of workers, if it should change now. `now`: seconds, monotonic."""
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
        if behind:  # something other than CPU delays it
            return workers
        needed = -int(-busy // AIM)
        return min(workers, max(self._least, needed))
