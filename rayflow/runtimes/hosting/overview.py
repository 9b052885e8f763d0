"""Computes the measured fields of a job's status: sums over its workers, and rates."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.status import JobStatus, WorkerStatus
from rayflow.runtimes.hosting.worker_metrics import Counts, WorkerMetrics

RATE_OVER = 5.0
"""Seconds over which rates are averaged."""


class Overview:
    """Keeps a job's status up to date. Each field is assigned as a whole, because another thread may read it."""

    def __init__(self, status: JobStatus, now: float) -> None:
        """`now`: seconds of a monotonic clock, also in other methods."""
        self.status = status
        self._began = now
        self._rates: deque[tuple[float, int, int]] = deque()

    def measured(self, workers: Collection[tuple[WorkerStatus, WorkerMetrics]], gone: Counts, now: float) -> None:
        """Take over the workers' measurements. `gone`: counts of workers that have ended."""
        status = self.status
        metrics = [measured for _, measured in workers]
        total = sum((measured.counts for measured in metrics), gone)
        lags = [measured.lag for measured in metrics if measured.lag is not None]
        marks = [measured.watermark for measured in metrics if measured.watermark is not None]
        status.workers = [worker for worker, _ in workers]
        status.records_in, status.records_out = total.records_in, total.records_out
        status.errors, status.late, status.dead_letters = total.errors, total.late, total.dead_letters
        status.rates = self._rate(total, now)
        status.lag = sum(lags) if lags else None
        status.watermark = min(marks) if marks else None
        status.rows = sum(measured.rows for measured in metrics)
        status.staged = sum(measured.staged for measured in metrics)
        status.elapsed = self.elapsed(now)

    def elapsed(self, now: float) -> float:
        """Seconds since the job started."""
        return now - self._began

    def coordinated(self, hosted: CoordinatorDriver) -> None:
        """Update the fields that the coordinator of an attempt knows."""
        status = self.status
        status.attempt = hosted.coordinator.attempt
        status.stages = {} if hosted.topology is None else dict(hosted.topology.stages)
        status.epoch = status.epoch if hosted.manifest is None else hosted.manifest.epoch

    def _rate(self, total: Counts, now: float) -> tuple[float, float]:
        points = self._rates
        points.append((now, total.records_in, total.records_out))
        while len(points) > 2 and now - points[1][0] >= RATE_OVER:
            points.popleft()
        since, first_in, first_out = points[0]
        passed = now - since
        if passed <= 0:
            return 0.0, 0.0
        return (total.records_in - first_in) / passed, (total.records_out - first_out) / passed


def worker_status(
    slot: int, host: str, node: str, pid: int, measured: WorkerMetrics, heard: float = 0.0
) -> WorkerStatus:
    """One worker's status. `heard`: seconds since it last answered."""
    counts = measured.counts
    return WorkerStatus(
        slot,
        host,
        node,
        pid,
        measured.tasks,
        counts.records_in,
        counts.records_out,
        measured.busy,
        measured.backpressured,
        measured.memory,
        heard,
    )
