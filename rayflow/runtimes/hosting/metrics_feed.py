"""Updates the Prometheus metrics of a job from its workers' measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from rayflow.core.clock import Clock
from rayflow.core.distribution import Distribution
from rayflow.core.ids import Attempt, TaskId, WorkerId
from rayflow.operators.base import OperatorCounters
from rayflow.runtimes.hosting.worker_metrics import Figures, TaskFigures, WorkerMetrics

if TYPE_CHECKING:
    from rayflow.core.metrics import Metrics  # it imports a web server

COUNTED = tuple(field.name for field in fields(OperatorCounters))


class MetricsFeed:
    """Updates metrics. Used by one thread, a few times per second."""

    def __init__(self, metrics: Metrics, broker: str, clock: Clock) -> None:
        """`broker`: the URL of the run's broker. `clock`: wall clock, ms."""
        self._metrics = metrics
        self._broker = broker
        self._clock = clock
        self._attempt: Attempt = 0
        self._counts: dict[tuple[TaskId, str], OperatorCounters] = {}
        self._taken: dict[WorkerId, Figures] = {}
        self._durations: dict[tuple[str, str | None], Distribution] = {}
        self._shown: set[WorkerId] = set()

    def look(self, attempt: Attempt, workers: Mapping[WorkerId, WorkerMetrics]) -> None:
        """Add the workers' measurements since the last call. `attempt`: the job's; 0: none yet."""
        metrics, now = self._metrics, self._clock()
        if attempt != self._attempt:
            self._attempt = attempt
            self._counts.clear()
            metrics.attempt(attempt)
        for slot in self._shown - set(workers):
            metrics.worker_gone(slot)
            self._taken.pop(slot, None)
        self._shown = set(workers)
        for slot, measured in workers.items():
            metrics.worker(slot, busy=measured.busy, blocked=measured.backpressured, memory=measured.memory)
            told = measured.figures
            if told is None or self._taken.get(slot) is told:
                continue
            self._taken[slot] = told
            self._take_durations(told)
            if measured.attempt != attempt:  # its tasks no longer belong to the job
                continue
            for task in told.tasks:
                self._take(task, now)
            for topic, partition, records in told.lags:
                metrics.lag(topic, partition, records)
        metrics.staged(sum(measured.staged for measured in workers.values() if measured.attempt == attempt))
        metrics.outage(self._broker, any(measured.outage for measured in workers.values()))

    def _take(self, told: TaskFigures, now: int) -> None:
        self._metrics.state(told.task, rows=told.rows, pending=told.pending)
        if told.watermark is not None:
            self._metrics.watermark(told.task, told.watermark, now)
        for operator, counters in told.operators.items():
            known = self._counts.setdefault((told.task, operator), counters)
            for name in COUNTED:  # update the object that `Metrics.operator` has: a new one would start from 0
                setattr(known, name, getattr(counters, name))
            self._metrics.operator(told.task, operator, known)

    def _take_durations(self, told: Figures) -> None:
        for operator, took in told.latency.items():
            if more := self._new(told.process, operator, took):
                self._metrics.latency(operator, more)
        if more := self._new(told.process, None, told.publish):
            self._metrics.publications(more)

    def _new(self, process: str, operator: str | None, took: Distribution) -> Distribution | None:
        """The counts of a worker's process since the last call; None if there are none."""
        before = self._durations.get((process, operator), Distribution())
        if took.count == before.count:
            return None
        self._durations[process, operator] = took
        return took.since(before)
