"""Reports progress and metrics of a local run, a few times a second, never per record."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rayflow.core.clock import Clock
from rayflow.core.errors import RayflowError
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.core.logging import get_logger
from rayflow.operators.sink import SinkOperator
from rayflow.operators.stream import StreamOperator
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.options import Progress
from rayflow.runtimes.local.attempt import LocalAttempt

if TYPE_CHECKING:
    from rayflow.core.metrics import Metrics  # it imports a web server

log = get_logger("rayflow.local")

LOOK_EVERY = 0.25
ENDS_EVERY = 5.0


class Observer:
    """Looks at an attempt and passes on what it sees."""

    def __init__(
        self,
        plan: JobPlan,
        broker: str,
        on_progress: Callable[[Progress], None] | None,
        metrics: Metrics | None,
        clock: Clock,
    ) -> None:
        self._broker = broker
        self._on_progress = on_progress
        self._metrics = metrics
        self._clock = clock
        self._progress = Progress(plan.name)
        self._started = time.monotonic()
        self._next_look = 0.0
        self._next_ends = self._started + ENDS_EVERY
        self._before = (0, 0, 0)
        self._attempt = 0
        self._outage: str | None = None

    def look(self, attempt: LocalAttempt, *, force: bool = False) -> None:
        """Look if it is time to, or at once."""
        now = time.monotonic()
        if now < self._next_look and not force:
            return
        self._next_look = now + LOOK_EVERY
        self._tell_outage(attempt.outage)
        if now >= self._next_ends and self._outage is None and attempt.worker is not None:
            self._next_ends = now + ENDS_EVERY
            self._look_at_ends(attempt)
        self._fill(attempt, now)
        if self._metrics is not None:
            self._feed(attempt, self._metrics)
        if self._on_progress is not None:
            self._on_progress(self._progress)

    def on_epoch(self, times: EpochTimes) -> None:
        """An epoch is done."""
        self._progress.epoch_ms = times.seconds * 1000
        self._progress.checkpoint_bytes = times.size
        metrics = self._metrics
        if metrics is None:
            return
        metrics.epoch(
            times.epoch,
            seconds=times.seconds,
            checkpoint_seconds=times.committed - times.barrier,
            checkpoint_bytes=times.size,
        )
        metrics.publication(times.published - times.committed)
        now = self._clock()
        for sink, batches in times.outputs.items():
            for batch in batches:
                metrics.published(sink.operator, batch.timestamps, now)

    def finish(self) -> Progress:
        """The run is over: the last figures."""
        self._progress.state = "done"
        self._progress.elapsed = time.monotonic() - self._started
        if self._on_progress is not None:
            self._on_progress(self._progress)
        return self._progress

    def _fill(self, attempt: LocalAttempt, now: float) -> None:
        progress = self._progress
        if attempt.coordinator.coordinator.attempt != self._attempt:
            self._attempt = attempt.coordinator.coordinator.attempt
            self._before = (progress.records_in, progress.records_out, progress.errors)
            if self._metrics is not None:
                self._metrics.attempt(self._attempt)
        progress.elapsed = now - self._started
        progress.state, progress.detail = self._state(attempt)
        progress.lag = None if attempt.driver is None else attempt.driver.sources.lag
        if attempt.coordinator.manifest is not None:
            progress.epoch = attempt.coordinator.manifest.epoch
        if attempt.worker is None:
            return
        records_in, records_out, errors = self._before
        watermarks = []
        for task in attempt.worker.tasks.values():
            for id, counters in task.counters.items():
                operator = task.operators[id]
                if isinstance(operator, StreamOperator):
                    records_in += counters.records_in
                elif isinstance(operator, SinkOperator):
                    records_out += counters.records_in
                errors += counters.errors
            watermarks.append(task.time.watermark)
        progress.records_in, progress.records_out, progress.errors = records_in, records_out, errors
        lowest = min(watermarks, default=WATERMARK_MIN)
        progress.watermark = lowest if WATERMARK_MIN < lowest < WATERMARK_MAX else None

    def _state(self, attempt: LocalAttempt) -> tuple[str, str]:
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

    def _look_at_ends(self, attempt: LocalAttempt) -> None:
        assert attempt.driver is not None
        try:
            attempt.driver.sources.look_at_ends(timeout=1.0)
        except RayflowError as error:  # what ends the job is met, and told with its place, by who reads
            log.debug("the lag is not known", reason=error.what)

    def _feed(self, attempt: LocalAttempt, metrics: Metrics) -> None:
        if attempt.driver is None or attempt.worker is None:
            return
        now = self._clock()
        for task in attempt.worker.tasks.values():
            for id, counters in task.counters.items():
                metrics.operator(task.id, id, counters)
            metrics.state(task.id, rows=task.state.row_count(), pending=task.state.pending_rows)
            if WATERMARK_MIN < task.time.watermark < WATERMARK_MAX:
                metrics.watermark(task.id, task.time.watermark, now)
        for topic, partition, lag in attempt.driver.sources.lags():
            metrics.lag(topic, partition, lag)
        metrics.staged(attempt.worker.staged_bytes)
        metrics.outage(self._broker, self._outage is not None)
