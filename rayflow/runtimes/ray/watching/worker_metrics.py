"""Measures a worker process a few times a second, for the job's status and metrics; the report also shows it alive."""

from __future__ import annotations

from dataclasses import dataclass, field

from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.operators.sink import SinkOperator
from rayflow.operators.stream import StreamOperator
from rayflow.runtimes.hosting.worker import WorkerDriver
from rayflow.runtimes.ray.watching.metrics import Figures


@dataclass(slots=True)
class WorkerMetrics:
    """Measurements of one worker process; its counts are since the process began, over all attempts.

    Attributes:
        tasks: "stage/partition" of what it hosts now. watermark: lowest of its tasks, ms; None when there is none.
        busy, backpressured: shares of the time since the last look, 0 to 1.
        memory: private bytes. lag: records not yet read; None when unknown. outage: why it waits for a system.
        figures: what the metrics are made of, where they are served.
    """

    attempt: int = 0
    tasks: list[str] = field(default_factory=list)
    records_in: int = 0
    records_out: int = 0
    errors: int = 0
    lag: int | None = None
    watermark: int | None = None
    busy: float = 0.0
    backpressured: float = 0.0
    memory: int = 0
    outage: str | None = None
    figures: Figures | None = None


def counted(hosted: WorkerDriver) -> tuple[int, int, int]:
    """Records in, records out and errors of one attempt's worker."""
    records_in = records_out = errors = 0
    if hosted.worker is not None:
        for task in hosted.worker.tasks.values():
            for id, counters in task.counters.items():
                operator = task.operators[id]
                if isinstance(operator, StreamOperator):
                    records_in += counters.records_in
                elif isinstance(operator, SinkOperator):
                    records_out += counters.records_in
                errors += counters.errors
    return records_in, records_out, errors


def look(hosted: WorkerDriver) -> WorkerMetrics:
    """Measure the worker of an attempt now."""
    metrics = WorkerMetrics(hosted.attempt, memory=private_memory())
    metrics.outage = hosted.outage
    metrics.lag = hosted.sources.lag
    metrics.records_in, metrics.records_out, metrics.errors = counted(hosted)
    if hosted.worker is not None:
        tasks = hosted.worker.tasks.values()
        metrics.tasks = [str(task.id) for task in tasks]
        lowest = min((task.time.watermark for task in tasks), default=WATERMARK_MIN)
        metrics.watermark = lowest if WATERMARK_MIN < lowest < WATERMARK_MAX else None
    return metrics


def private_memory() -> int:
    """Bytes of memory that this process has to itself."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    return 0
