"""Shows a running job on Ray: in its status, and as metrics."""

from __future__ import annotations

import time

from rayflow.checkpoint.manifest import Manifest
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray.pool import Pool
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.watching.metrics import JobMetrics
from rayflow.runtimes.ray.watching.overview import PoolOverview

LOOK_EVERY = 0.1
"""Seconds between two looks at what the workers report."""


class JobView:
    """Updates the status and the metrics. Used from the coordinator's thread.

    Attributes:
        overview: of the pool's workers. metrics: gets the messages of all attempts.
    """

    def __init__(self, spec: JobSpec, status: JobStatus, pool: Pool) -> None:
        self.overview = PoolOverview(status, pool)
        self.metrics = JobMetrics(spec.name, spec.broker)
        self._status = status
        self._pool = pool
        self._next_look = 0.0

    def look(self, now: float) -> None:
        """Show what the workers report, also between attempts. Call it every turn; `now`: monotonic seconds."""
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            self.overview.look()

    def show(self, hosted: CoordinatorDriver, attempts: int) -> None:
        """Show the current attempt. `attempts`: how many there have been, this one included."""
        self._status.attempts = attempts
        self._status.epoch_ms = self.metrics.epoch_seconds * 1000
        self.overview.show(hosted)
        workers = {slot: member.metrics for slot, member in self._pool.members.items()}
        self.metrics.look(self._status.attempt, workers)

    def show_now(self, hosted: CoordinatorDriver, attempts: int) -> None:
        """Like `show`, with what the workers report at this moment."""
        self.overview.look()
        self.show(hosted, attempts)

    def committed(self, manifest: Manifest, hosted: CoordinatorDriver) -> None:
        """Show a commit."""
        status = self._status
        status.epoch, status.committed, status.checkpoint_bytes = manifest.epoch, time.time(), manifest.bytes
        self.metrics.committed(manifest, hosted.workers)

    def close(self) -> None:
        """Stop serving metrics."""
        self.metrics.close()
