"""The times in which a job processes no records: after a failure, and during a rescale."""

from __future__ import annotations

import time

from rayflow.core.errors import BrokerUnavailable, RayflowError
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray.restarts import Restarts


class Interruptions:
    """Measures interruptions for the job's status, and decides whether a failed attempt is followed by another.

    Attributes:
        established: whether the job has processed records, under this coordinator or an earlier one.
    """

    def __init__(self, status: JobStatus, max_restarts: int) -> None:
        self.established = False
        self._status = status
        self._restarts = Restarts(max_restarts)
        self._failed_at: float | None = None
        self._paused_at: float | None = None
        self._committed = False

    @property
    def attempts(self) -> int:
        """How many there have been, the current one included."""
        return self._restarts.total + 1

    def taken_over(self) -> None:
        """This process takes over from a coordinator that died."""
        if self._failed_at is None:
            self._failed_at = time.monotonic()
        self.established = True

    def attempt_begins(self) -> None:
        """The next attempt begins."""
        self._committed = False

    def attempt_started(self) -> None:
        """Records are processed; that ends a pause."""
        self.established = True
        if self._paused_at is not None:
            self._status.pauses.append(time.monotonic() - self._paused_at)
            self._paused_at = None

    def committed(self) -> float | None:
        """An epoch is committed, which ends a recovery: its seconds, or None if there was none."""
        self._committed = True
        if self._failed_at is None:
            return None
        seconds = time.monotonic() - self._failed_at
        self._status.recoveries.append(seconds)
        self._failed_at = None
        return seconds

    def paused(self) -> None:
        """The attempt has ended in order to start with other workers."""
        self._paused_at = time.monotonic()

    def failed(self, error: RayflowError) -> float | None:
        """The attempt has failed. Seconds to wait before the next one; None: the job has failed."""
        if self._failed_at is None:
            self._failed_at = time.monotonic()
        delay = self._restarts.after(error, progressed=self._committed)
        if isinstance(error, BrokerUnavailable) and not self.established:
            return None
        return delay
