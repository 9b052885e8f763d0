"""Collects the metrics that the workers of a job report, and serves them from the coordinator."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple, Protocol

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.clock import system_clock
from rayflow.core.errors import InvalidSetting
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN, Attempt, Epoch, TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.core.metrics import Metrics, MetricsServer
from rayflow.engine.events import BarrierInjected, EpochDone
from rayflow.operators.base import OperatorCounters
from rayflow.runtimes.hosting.worker import WorkerDriver

log = get_logger("rayflow.coordinator")


COUNTED = tuple(field.name for field in fields(OperatorCounters))


class TaskFigures(NamedTuple):
    """One task. `rows` of its state, `pending` of them changed in the open epoch; `watermark` in ms, None if none."""

    task: TaskId
    rows: int
    pending: int
    watermark: int | None
    operators: dict[str, OperatorCounters]


@dataclass(slots=True)
class Figures:
    """All that one worker's metrics are made of. `lags`: topic, partition, records. `staged`: bytes."""

    tasks: list[TaskFigures] = field(default_factory=list)
    lags: list[tuple[str, int, int]] = field(default_factory=list)
    staged: int = 0


def figures(hosted: WorkerDriver) -> Figures:
    """What an attempt's worker shows at the moment."""
    if hosted.worker is None:
        return Figures()
    tasks = []
    for task in hosted.worker.tasks.values():
        known = WATERMARK_MIN < task.time.watermark < WATERMARK_MAX
        operators = {id: replace(counters) for id, counters in task.counters.items()}
        watermark = task.time.watermark if known else None
        tasks.append(TaskFigures(task.id, task.state.row_count(), task.state.pending_rows, watermark, operators))
    return Figures(tasks, list(hosted.sources.lags()), hosted.worker.staged_bytes)


class _WorkerMetrics(Protocol):
    """What `JobMetrics` reads of a worker's report."""

    attempt: int
    busy: float
    backpressured: float
    memory: int
    figures: Figures | None
    outage: str | None


class JobMetrics:
    """Kept by the coordinator's thread, which tells it what happens; served once `serve` is called.

    Attributes:
        epoch_seconds: from the last complete epoch's barrier to everything published and applied.
    """

    def __init__(self, job: str, broker: str) -> None:
        self.epoch_seconds = 0.0
        self._metrics = Metrics(job)
        self._broker = broker
        self._server: MetricsServer | None = None
        self._attempt: Attempt = 0
        self._counts: dict[tuple[TaskId, str], OperatorCounters] = {}
        self._taken: dict[WorkerId, Figures] = {}
        self._shown: set[WorkerId] = set()
        self._epoch: Epoch = 0
        self._barrier = self._committed = 0.0
        self._bytes = 0
        self._undone: set[WorkerId] = set()

    def serve(self, port: int, address: str, *, again: bool = False) -> None:
        """Answer scrapes until `close`. `again`: the job runs already, and does not end because the port is taken.

        Raises InvalidSetting when it is.
        """
        try:
            self._server = self._metrics.serve(port, address)
        except InvalidSetting as error:
            if not again:
                raise
            log.warning("no metrics are served", job=self._metrics.job, reason=error.what)
            return
        log.info("metrics served", job=self._metrics.job, url=f"http://{self._server.address}/metrics")

    @property
    def address(self) -> str | None:
        """Where it answers, "host:port"."""
        return None if self._server is None else self._server.address

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()

    def sent(self, body: object) -> None:
        """The coordinator has told a worker something."""
        if isinstance(body, BarrierInjected) and body.epoch != self._epoch:
            self._epoch, self._barrier = body.epoch, time.monotonic()

    def committed(self, manifest: Manifest, workers: Collection[WorkerId]) -> None:
        """A manifest is written; these workers have its epoch to publish."""
        self._committed, self._bytes, self._undone = time.monotonic(), manifest.bytes, set(workers)

    def received(self, body: object) -> None:
        """A worker has said something."""
        if not isinstance(body, EpochDone) or body.epoch != self._epoch:
            return
        self._undone.discard(body.worker)
        if not self._undone:
            self.epoch_seconds = time.monotonic() - self._barrier
            self._metrics.epoch(
                self._epoch,
                seconds=self.epoch_seconds,
                checkpoint_seconds=self._committed - self._barrier,
                checkpoint_bytes=self._bytes,
            )

    def look(self, attempt: Attempt, workers: Mapping[WorkerId, _WorkerMetrics]) -> None:
        """Take over what the workers have told since the last look."""
        metrics, now = self._metrics, system_clock()
        if attempt != self._attempt:
            self._attempt = attempt
            self._counts.clear()
            self._taken.clear()
            self._epoch = 0
            metrics.attempt(attempt)
        for slot in self._shown - set(workers):
            metrics.worker_gone(slot)
            self._taken.pop(slot, None)
        self._shown = set(workers)
        for slot, reported in workers.items():
            metrics.worker(slot, busy=reported.busy, blocked=reported.backpressured, memory=reported.memory)
            told = reported.figures
            if told is None or reported.attempt != attempt or self._taken.get(slot) is told:
                continue
            self._taken[slot] = told
            for task in told.tasks:
                self._take(task, now)
            for topic, partition, records in told.lags:
                metrics.lag(topic, partition, records)
        metrics.staged(sum(told.staged for told in self._taken.values()))
        metrics.outage(self._broker, any(reported.outage for reported in workers.values()))

    def _take(self, told: TaskFigures, now: int) -> None:
        self._metrics.state(told.task, rows=told.rows, pending=told.pending)
        if told.watermark is not None:
            self._metrics.watermark(told.task, told.watermark, now)
        for operator, counters in told.operators.items():
            known = self._counts.setdefault((told.task, operator), counters)
            for name in COUNTED:  # into the object that `Metrics.operator` knows: another one would count anew
                setattr(known, name, getattr(counters, name))
            self._metrics.operator(told.task, operator, known)
