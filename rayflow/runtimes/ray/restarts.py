"""Decides whether and when another attempt follows a failed one. Pure."""

from __future__ import annotations

from rayflow.core.errors import (
    BrokerUnavailable,
    CheckpointStoreFailed,
    DiskFull,
    Fenced,
    RayflowError,
    WorkerLost,
)

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0

_PASSING = (WorkerLost, Fenced, BrokerUnavailable, CheckpointStoreFailed, DiskFull)
"""Errors that a new attempt may resolve. A user's function, damaged data or a bug would fail again."""


class Restarts:
    """Counts consecutive attempts that committed nothing.

    >>> restarts = Restarts(2)
    >>> [restarts.after(WorkerLost("gone"), progressed=False) for _ in range(3)]
    [0.1, 0.2, None]
    >>> restarts.after(WorkerLost("gone"), progressed=True)
    0.0
    """

    def __init__(self, most: int) -> None:
        self.total = 0
        self._most = most
        self._in_a_row = 0

    def after(self, error: Exception, *, progressed: bool) -> float | None:
        """Seconds to wait before the next attempt; None: give up."""
        if not isinstance(error, RayflowError) or not isinstance(error, _PASSING):
            return None
        self.total += 1
        if progressed:
            self._in_a_row = 0
            return 0.0
        self._in_a_row += 1
        if self._in_a_row > self._most:
            return None
        delay: float = FIRST_DELAY * 2.0 ** (self._in_a_row - 1)
        return min(LONGEST_DELAY, delay)
