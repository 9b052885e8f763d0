"""Measures a worker a few times per second, over all attempts, for the job's status and metrics."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rayflow.core.clock import Clock
from rayflow.core.distribution import Distribution
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN, TaskId
from rayflow.engine.event_time import EventTime
from rayflow.engine.task import Task
from rayflow.operators.base import OperatorCounters
from rayflow.operators.sink import SinkOperator
from rayflow.operators.stream import StreamOperator
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.worker import WorkerDriver


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of records: read from sources, taken by sinks, failed, late, sent to dead letters."""

    records_in: int = 0
    records_out: int = 0
    errors: int = 0
    late: int = 0
    dead_letters: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.records_in + other.records_in,
            self.records_out + other.records_out,
            self.errors + other.errors,
            self.late + other.late,
            self.dead_letters + other.dead_letters,
        )


class TaskFigures(NamedTuple):
    """One task. `rows`: of its state. `pending`: changed in the open epoch. `watermark` in ms, None if there is
    none."""

    task: TaskId
    rows: int
    pending: int
    watermark: int | None
    operators: dict[str, OperatorCounters]


@dataclass(slots=True)
class Figures:
    """The figures for one worker's Prometheus metrics.

    Attributes:
        tasks: those of the attempt.
        lags: topic, partition, records.
        latency: by sink operator, the age of event times at publication, since the worker's process started.
        publish: the duration of publishing an epoch, since the worker's process started.
        process: distinguishes these counts from those of an earlier worker of the slot.
    """

    tasks: list[TaskFigures] = field(default_factory=list)
    lags: list[tuple[str, int, int]] = field(default_factory=list)
    latency: dict[str, Distribution] = field(default_factory=dict)
    publish: Distribution = field(default_factory=Distribution)
    process: str = ""


@dataclass(slots=True)
class WorkerMetrics:
    """Measurements of one worker.

    Attributes:
        attempt: the measured attempt.
        tasks: "stage/partition" of the tasks that it hosts now.
        counts: since its process started, over all attempts.
        lag: records that were not read yet; None if unknown.
        watermark: lowest of its tasks, ms; None if there is none.
        rows: rows of state.
        staged: bytes of output.
        busy, backpressured: shares of the time since the last measurement, 0 to 1.
        memory: private bytes of the process.
        outage: why it waits for a system.
        figures: the figures for metrics, if metrics are served.
    """

    attempt: int = 0
    tasks: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    lag: int | None = None
    watermark: int | None = None
    rows: int = 0
    staged: int = 0
    busy: float = 0.0
    backpressured: float = 0.0
    memory: int = 0
    outage: str | None = None
    figures: Figures | None = None


class WorkerMeasuring:
    """Measures the current driver of a worker: call `watch` with it, `on_epoch` for its epochs, and `measure`
    repeatedly."""

    def __init__(self, clock: Clock, *, detailed: bool) -> None:
        """`detailed`: include the figures for Prometheus metrics."""
        self._clock = clock
        self._detailed = detailed
        self._driver: WorkerDriver | None = None
        self._before = Counts()
        self._latency: dict[str, Distribution] = {}
        self._publish = Distribution()
        self._process = uuid.uuid4().hex

    @property
    def driver(self) -> WorkerDriver | None:
        """The watched driver."""
        return self._driver

    def watch(self, driver: WorkerDriver | None) -> None:
        """Measure this driver from now on, and keep the counts of the one before."""
        if driver is not self._driver:
            if self._driver is not None:
                self._before += counted(self._driver)
            self._driver = driver

    def on_epoch(self, times: EpochTimes) -> None:
        """Record a finished epoch."""
        if not self._detailed:
            return
        self._publish.observe(times.published - times.committed)
        now = self._clock()
        for sink, batches in times.outputs.items():
            took = self._latency.setdefault(sink.operator, Distribution())
            for batch in batches:
                took.observe_since(batch.timestamps, now)

    def measure(self) -> WorkerMetrics:
        """The current measurements, without what only the worker's loop knows: busy, backpressured, memory."""
        driver = self._driver
        if driver is None:
            return WorkerMetrics(counts=self._before)
        metrics = WorkerMetrics(driver.attempt, counts=self._before + counted(driver))
        metrics.outage = driver.outage
        metrics.lag = driver.sources.lag
        tasks = [] if driver.worker is None else list(driver.worker.tasks.values())
        metrics.tasks = [str(task.id) for task in tasks]
        metrics.watermark = lowest_watermark([task.time for task in tasks])
        metrics.rows = sum(task.state.row_count() for task in tasks)
        metrics.staged = 0 if driver.worker is None else driver.worker.staged_bytes
        if self._detailed:
            latency = {operator: took.copy() for operator, took in self._latency.items()}
            publish = self._publish.copy()
            metrics.figures = Figures(
                list(map(_figures, tasks)), list(driver.sources.lags()), latency, publish, self._process
            )
        return metrics

    def look_at_ends(self) -> None:
        """Query the end offsets of the sources, for the lag. Waits up to a second for each connector."""
        if self._driver is None or self._driver.worker is None or self._driver.outage is not None:
            return
        self._driver.sources.refresh_ends()


def counted(driver: WorkerDriver) -> Counts:
    """The counts of one attempt's worker."""
    records_in = records_out = errors = late = dead_letters = 0
    if driver.worker is not None:
        for task in driver.worker.tasks.values():
            for id, counters in task.counters.items():
                operator = task.operators[id]
                if isinstance(operator, StreamOperator):
                    records_in += counters.records_in
                elif isinstance(operator, SinkOperator):
                    records_out += counters.records_in
                errors += counters.errors
                late += counters.late
                dead_letters += counters.dead_letters
    return Counts(records_in, records_out, errors, late, dead_letters)


def lowest_watermark(times: Sequence[EventTime]) -> int | None:
    """Lowest event time (ms) of the tasks that hold others back: idle ones do not count unless all are idle."""
    active = [time.watermark for time in times if not time.idle]
    idle = [time.watermark for time in times if time.idle and _known(time.watermark) is not None]
    return _known(min(active or idle, default=WATERMARK_MIN))


def _figures(task: Task) -> TaskFigures:
    operators = {id: replace(counters) for id, counters in task.counters.items()}
    return TaskFigures(task.id, task.state.row_count(), task.state.pending_rows, _known(task.time.watermark), operators)


def _known(watermark: int) -> int | None:
    return watermark if WATERMARK_MIN < watermark < WATERMARK_MAX else None
