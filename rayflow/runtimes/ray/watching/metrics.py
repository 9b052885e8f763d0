"""Serves the metrics of a job on Ray from its coordinator, and measures the epochs of its workers."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.clock import system_clock
from rayflow.core.errors import InvalidSetting
from rayflow.core.ids import Attempt, Epoch, WorkerId
from rayflow.core.logging import get_logger
from rayflow.core.metrics import Metrics, MetricsServer
from rayflow.engine.events import BarrierInjected, EpochDone
from rayflow.runtimes.hosting.metrics_feed import MetricsFeed
from rayflow.runtimes.hosting.worker_metrics import WorkerMetrics

log = get_logger("rayflow.coordinator")


class JobMetrics:
    """Used by the coordinator's thread, which reports events to it; served after `serve` was called.

    Attributes:
        epoch_seconds: from the last complete epoch's barrier until everything was published and applied.
    """

    def __init__(self, job: str, broker: str) -> None:
        self.epoch_seconds = 0.0
        self._metrics = Metrics(job)
        self._feed = MetricsFeed(self._metrics, broker, system_clock)
        self._server: MetricsServer | None = None
        self._attempt: Attempt = 0
        self._epoch: Epoch = 0
        self._barrier = self._committed = 0.0
        self._bytes = 0
        self._undone: set[WorkerId] = set()

    def serve(self, port: int, address: str, *, again: bool = False) -> None:
        """Serve metrics until `close`. `again`: the job runs already, and does not end if the port is taken.

        Raises InvalidSetting if the port is taken.
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
        """The address of the metrics endpoint, "host:port"."""
        return None if self._server is None else self._server.address

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()

    def sent(self, body: object) -> None:
        """Note a message of the coordinator to a worker."""
        if isinstance(body, BarrierInjected) and body.epoch != self._epoch:
            self._epoch, self._barrier = body.epoch, time.monotonic()

    def committed(self, manifest: Manifest, workers: Collection[WorkerId]) -> None:
        """Note that a manifest was written; these workers have to publish its epoch."""
        self._committed, self._bytes, self._undone = time.monotonic(), manifest.bytes, set(workers)

    def received(self, body: object) -> None:
        """Note a message of a worker."""
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

    def look(self, attempt: Attempt, workers: Mapping[WorkerId, WorkerMetrics]) -> None:
        """Update the metrics with the workers' measurements since the last call."""
        if attempt != self._attempt:
            self._attempt, self._epoch = attempt, 0
        self._feed.look(attempt, workers)
