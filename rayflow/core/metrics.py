"""All metrics that a job exports: declared once here, updated a few times per second, served for Prometheus.

The list METRICS is the reference: `docs/reference/metrics.md` is generated from it (`python -m rayflow.core.metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, cast
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from rayflow.core.distribution import SECONDS, Distribution
from rayflow.core.errors import InvalidSetting
from rayflow.core.histogram import DistributionHistogram
from rayflow.core.ids import TaskId, WorkerId


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its documentation. Every metric has the label `job_name` besides `labels` (Prometheus itself uses
    `job` for the name of its scrape job)."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    description: str
    labels: tuple[str, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric("rayflow_records_in_total", "counter", "Records that an operator has received.", ("operator", "partition")),
    Metric("rayflow_records_out_total", "counter", "Records that an operator has emitted.", ("operator", "partition")),
    Metric(
        "rayflow_errors_total",
        "counter",
        "Records that failed in an operator, whatever on_error= did with them.",
        ("operator", "partition"),
    ),
    Metric("rayflow_dead_letters_total", "counter", "Records sent to a dead-letter topic.", ("operator", "partition")),
    Metric(
        "rayflow_late_records_total",
        "counter",
        "Records that arrived after their window was final.",
        ("operator", "partition"),
    ),
    Metric(
        "rayflow_dropped_records_total",
        "counter",
        "Records dropped for another reason (a null key where a key is needed).",
        ("operator", "partition"),
    ),
    Metric(
        "rayflow_end_to_end_latency_seconds",
        "histogram",
        "Time from a record's event time to the publication of output with that time.",
        ("operator",),
    ),
    Metric("rayflow_lag_records", "gauge", "Records of a source partition not yet read.", ("topic", "partition")),
    Metric(
        "rayflow_watermark_lag_seconds",
        "gauge",
        "Wall clock minus the task's watermark; absent until event time is known.",
        ("stage", "partition"),
    ),
    Metric("rayflow_epoch", "gauge", "The last completed epoch."),
    Metric("rayflow_epoch_duration_seconds", "histogram", "Time from an epoch's barrier to its publication."),
    Metric("rayflow_checkpoint_duration_seconds", "histogram", "Time from an epoch's barrier to its manifest."),
    Metric("rayflow_publish_duration_seconds", "histogram", "Time for one worker to publish an epoch's staged output."),
    Metric("rayflow_checkpoint_bytes", "gauge", "Size of the last checkpoint's segments."),
    Metric("rayflow_state_rows", "gauge", "Rows in the store of a task's state.", ("stage", "partition")),
    Metric("rayflow_pending_rows", "gauge", "State rows changed in the task's open epoch.", ("stage", "partition")),
    Metric("rayflow_staged_bytes", "gauge", "Staged output that waits for its epoch to complete."),
    Metric("rayflow_attempt", "gauge", "The job's attempt; rises with each recovery."),
    Metric("rayflow_restarts_total", "counter", "Recoveries since this process started."),
    Metric("rayflow_broker_outage", "gauge", "1 while the broker is unavailable, else 0.", ("broker",)),
    Metric("rayflow_worker_busy_ratio", "gauge", "Share of the time that a worker is busy.", ("worker",)),
    Metric(
        "rayflow_worker_blocked_ratio",
        "gauge",
        "Share of the time that a worker is blocked by backpressure.",
        ("worker",),
    ),
    Metric("rayflow_worker_memory_bytes", "gauge", "Private memory of a worker.", ("worker",)),
)


class OperatorCounts(Protocol):
    """The counts of one operator instance since it started (`rayflow.operators.base.OperatorCounters`)."""

    records_in: int
    records_out: int
    errors: int
    dead_letters: int
    late: int
    dropped: int


_COUNTED: Mapping[str, str] = {
    "records_in": "rayflow_records_in_total",
    "records_out": "rayflow_records_out_total",
    "errors": "rayflow_errors_total",
    "dead_letters": "rayflow_dead_letters_total",
    "late": "rayflow_late_records_total",
    "dropped": "rayflow_dropped_records_total",
}


_OF_WORKERS = ("rayflow_end_to_end_latency_seconds", "rayflow_publish_duration_seconds")
"""Durations that each worker counts itself, and of which it sends the counts."""


class Metrics:
    """The metrics of one job in one process, in their own registry.

    Update them per batch, per epoch or a few times per second, never per record. Used from one thread; scrapes come
    from another one.
    """

    def __init__(self, job: str) -> None:
        self.job = job
        self.registry = CollectorRegistry()
        self._collectors = {metric.name: self._make(metric) for metric in METRICS}
        self._seen: dict[tuple[TaskId, str], tuple[OperatorCounts, tuple[int, ...]]] = {}
        self._started = False

    def _make(self, metric: Metric) -> Counter | Gauge | Histogram | DistributionHistogram:
        labels = ("job_name", *metric.labels)
        if metric.name in _OF_WORKERS:
            return DistributionHistogram(metric.name, metric.description, labels, self.registry)
        if metric.kind == "counter":
            return Counter(metric.name, metric.description, labels, registry=self.registry)
        if metric.kind == "gauge":
            return Gauge(metric.name, metric.description, labels, registry=self.registry)
        return Histogram(metric.name, metric.description, labels, buckets=SECONDS, registry=self.registry)

    def _counter(self, name: str, *labels: object) -> Counter:
        return cast(Counter, self._collectors[name]).labels(self.job, *labels)

    def _gauge(self, name: str, *labels: object) -> Gauge:
        return cast(Gauge, self._collectors[name]).labels(self.job, *labels)

    def _histogram(self, name: str) -> Histogram:
        return cast(Histogram, self._collectors[name]).labels(self.job)

    def _distribution(self, name: str) -> DistributionHistogram:
        return cast(DistributionHistogram, self._collectors[name])

    def operator(self, task: TaskId, operator: str, counts: OperatorCounts) -> None:
        """Take over an operator instance's counts so far. Call it again with the same object later.

        Another object for the same operator (the task was restarted) starts at zero, and is added to the earlier
        counts.
        """
        now = tuple(getattr(counts, field) for field in _COUNTED)
        known = self._seen.get((task, operator))
        before = known[1] if known is not None and known[0] is counts else (0,) * len(now)
        for name, new, old in zip(_COUNTED.values(), now, before, strict=True):
            if new != old or known is None:
                self._counter(name, operator, task.partition).inc(new - old)
        self._seen[task, operator] = (counts, now)

    def latency(self, operator: str, more: Distribution) -> None:
        """Add new ages of event times at the moment at which a sink's output became visible."""
        self._distribution("rayflow_end_to_end_latency_seconds").add((self.job, operator), more)

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Set the number of records of a source partition that were not read yet."""
        self._gauge("rayflow_lag_records", topic, partition).set(records)

    def watermark(self, task: TaskId, watermark: int, now: int) -> None:
        """Set a task's watermark at wall-clock time `now` (both ms). Do not call it if the watermark is unknown or
        infinite."""
        self._gauge("rayflow_watermark_lag_seconds", *task).set((now - watermark) / 1000)

    def epoch(self, epoch: int, *, seconds: float, checkpoint_seconds: float, checkpoint_bytes: int) -> None:
        """Record a complete epoch: durations from its barrier to its publication, and from its barrier to the
        manifest."""
        self._gauge("rayflow_epoch").set(epoch)
        self._gauge("rayflow_checkpoint_bytes").set(checkpoint_bytes)
        self._histogram("rayflow_epoch_duration_seconds").observe(seconds)
        self._histogram("rayflow_checkpoint_duration_seconds").observe(checkpoint_seconds)

    def publications(self, more: Distribution) -> None:
        """Add new durations of publishing an epoch's output."""
        self._distribution("rayflow_publish_duration_seconds").add((self.job,), more)

    def state(self, task: TaskId, *, rows: int, pending: int) -> None:
        """Set the size of a task's state, and of the changes in its open epoch."""
        self._gauge("rayflow_state_rows", *task).set(rows)
        self._gauge("rayflow_pending_rows", *task).set(pending)

    def staged(self, size: int) -> None:
        """Set the bytes of output that wait for their epoch to complete."""
        self._gauge("rayflow_staged_bytes").set(size)

    def attempt(self, attempt: int) -> None:
        """Set the current attempt; each call after the first counts as a restart."""
        self._counter("rayflow_restarts_total").inc(int(self._started))
        self._started = True
        self._gauge("rayflow_attempt").set(attempt)

    def outage(self, broker: str, out: bool) -> None:
        """Set whether a broker (its URL) is unavailable."""
        self._gauge("rayflow_broker_outage", broker).set(out)

    def worker(self, slot: WorkerId, *, busy: float, blocked: float, memory: int) -> None:
        """Set a worker's figures: shares of its time, 0 to 1, and bytes."""
        self._gauge("rayflow_worker_busy_ratio", slot).set(busy)
        self._gauge("rayflow_worker_blocked_ratio", slot).set(blocked)
        self._gauge("rayflow_worker_memory_bytes", slot).set(memory)

    def worker_gone(self, slot: WorkerId) -> None:
        """Remove a worker that no longer exists."""
        for name in ("busy_ratio", "blocked_ratio", "memory_bytes"):
            cast(Gauge, self._collectors[f"rayflow_worker_{name}"]).remove(self.job, slot)

    def serve(self, port: int, address: str = "127.0.0.1") -> MetricsServer:
        """Serve metrics over HTTP until `close()`; port 0 uses a free one. Raises InvalidSetting if the port is
        taken."""
        try:
            server, _ = start_http_server(port, address, self.registry)
        except OSError as error:
            raise InvalidSetting(
                f"metrics cannot be served on {address}:{port}: {error.strerror or error}",
                advice="Choose another --metrics-port, or 0 for any free one",
            ) from error
        return MetricsServer(server)


class MetricsServer:
    """A running endpoint for scrapes. `address`: "host:port"."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        self.address = "{}:{}".format(*server.server_address)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def reference() -> str:
    """The table of all metrics in Markdown, as the docs show it."""
    lines = ["| metric | type | labels | what it says |", "| --- | --- | --- | --- |"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in ("job_name", *metric.labels))
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
