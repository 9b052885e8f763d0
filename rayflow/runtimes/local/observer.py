"""Updates the status and the metrics of a local run, a few times per second, never per record."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.clock import Clock
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.metrics_feed import MetricsFeed
from rayflow.runtimes.hosting.overview import Overview, worker_status
from rayflow.runtimes.hosting.status import JobState, JobStatus
from rayflow.runtimes.hosting.worker_metrics import Counts, WorkerMeasuring
from rayflow.runtimes.local.attempt import SLOT, LocalAttempt
from rayflow.runtimes.machine.memory import private_memory

if TYPE_CHECKING:
    from rayflow.core.metrics import Metrics  # it imports a web server

log = get_logger("rayflow.local")

LOOK_EVERY = 0.25
ENDS_EVERY = 5.0


class Observer:
    """Measures an attempt, and publishes the results. Used by the run's thread; `status` by any thread."""

    def __init__(
        self, status: JobStatus, on_status: Callable[[JobStatus], None] | None, metrics: Metrics | None, clock: Clock
    ) -> None:
        """`status`: the first one. `on_status` receives immutable copies."""
        now = time.monotonic()
        self._status = status
        self._shown = (now, status.snapshot())
        self._on_status = on_status
        self._metrics = metrics
        self._feed = None if metrics is None else MetricsFeed(metrics, status.broker, clock)
        self._measuring = WorkerMeasuring(clock, detailed=metrics is not None)
        self._overview = Overview(status, now)
        self._attempt = 0
        self._next_look = 0.0
        self._next_ends = now + ENDS_EVERY
        self._looked = (now, time.thread_time())
        self._outage: str | None = None

    def status(self) -> JobStatus:
        """The last measured status, as an immutable copy. From any thread."""
        looked, shown = self._shown
        silent = time.monotonic() - looked
        workers = [replace(worker, heard=silent) for worker in shown.workers]
        return replace(shown, elapsed=shown.elapsed + silent, workers=workers)

    def look(self, attempt: LocalAttempt, *, force: bool = False) -> None:
        """Measure, if it is time, or with `force` at once."""
        now = time.monotonic()
        if now < self._next_look and not force:
            return
        self._next_look = now + LOOK_EVERY
        self._measuring.watch(attempt.driver)
        self._tell_outage(attempt.outage)
        if now >= self._next_ends and attempt.worker is not None:
            self._next_ends = now + ENDS_EVERY
            self._measuring.look_at_ends()
        self._fill(attempt, now)
        self._show(now)

    def on_commit(self, manifest: Manifest) -> None:
        """Record that a checkpoint is complete."""
        status = self._status
        status.epoch, status.committed, status.checkpoint_bytes = manifest.epoch, time.time(), manifest.bytes

    def on_epoch(self, times: EpochTimes) -> None:
        """Record a finished epoch."""
        self._status.epoch_ms = times.seconds * 1000
        self._measuring.on_epoch(times)
        if self._metrics is not None:
            self._metrics.epoch(
                times.epoch,
                seconds=times.seconds,
                checkpoint_seconds=times.committed - times.barrier,
                checkpoint_bytes=self._status.checkpoint_bytes,
            )

    def finish(self, state: JobState, cause: str, savepoints: list[str]) -> JobStatus:
        """Return the final status at the end of the run. `savepoints`: those that were written at the end."""
        status = self._status
        status.state, status.cause, status.workers, status.savepoints = state, cause, [], savepoints
        status.elapsed = self._overview.elapsed(time.monotonic())
        return self._show(time.monotonic())

    def _show(self, now: float) -> JobStatus:
        shown = self._status.snapshot()
        self._shown = (now, shown)
        if self._on_status is not None:
            self._on_status(shown)
        return shown

    def _fill(self, attempt: LocalAttempt, now: float) -> None:
        status, measured = self._status, self._measuring.measure()
        before, worked = self._looked
        self._looked = (now, time.thread_time())
        measured.busy = min(1.0, (self._looked[1] - worked) / max(now - before, 1e-9))
        measured.memory = private_memory()
        self._overview.coordinated(attempt.coordinator)
        if status.attempt != self._attempt:
            self._attempt = status.attempt
            status.attempts += 1
        status.state, status.cause = self._state(attempt)
        worker = worker_status(SLOT, status.host, "", status.pid, measured)
        self._overview.measured([(worker, measured)], Counts(), now)
        if self._feed is not None and status.attempt:
            self._feed.look(status.attempt, {SLOT: measured})

    def _state(self, attempt: LocalAttempt) -> tuple[JobState, str]:
        if self._outage is not None:
            return "waiting", self._outage
        if attempt.coordinator.coordinator.final_barrier_sent:
            return "stopping", ""
        if attempt.worker is None:
            return "restoring", ""
        return "running", ""

    def _tell_outage(self, outage: str | None) -> None:
        if outage is not None and self._outage is None:
            log.warning("waiting for the broker: the job resumes when it answers", reason=outage)
        elif outage is None and self._outage is not None:
            log.info("the broker answers again")
        self._outage = outage


def first_status(job: str, target: str, broker: str, checkpoints: str) -> JobStatus:
    """The first status of a run in this process."""
    return JobStatus(
        job,
        target=target,
        broker=broker,
        checkpoints=checkpoints,
        since=time.time(),
        host=socket.gethostname(),
        pid=os.getpid(),
    )
