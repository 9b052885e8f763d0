"""Fills in the measured part of a job's status from the metrics that its workers report."""

from __future__ import annotations

import os
import socket
import time
from collections import deque

from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.ray.pool import Pool
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.watching.autoscaling import Load
from rayflow.runtimes.ray.watching.status import JobStatus, WorkerStatus

LOOKS = 50
"""Rates are taken over so many looks."""


def first_status(spec: JobSpec) -> JobStatus:
    """The status of a job whose coordinator has just begun, in this process."""
    return JobStatus(
        spec.name,
        "starting",
        submission=spec.submission,
        target=spec.target,
        broker=spec.broker,
        checkpoints=spec.checkpoints,
        since=time.time(),
        host=socket.gethostname(),
        pid=os.getpid(),
    )


class Overview:
    """Fills in a job's status from its workers' metrics."""

    def __init__(self, status: JobStatus, pool: Pool) -> None:
        self._status = status
        self._pool = pool
        self._rates: deque[tuple[float, int, int]] = deque(maxlen=LOOKS)

    def look(self) -> None:
        """Take over what is known now."""
        status, now = self._status, time.monotonic()
        records_in, records_out, errors = self._pool.gone
        workers, lags, marks = [], [], []
        for slot, member in sorted(self._pool.members.items()):
            metrics, started = member.metrics, member.started
            if started is None:
                continue
            workers.append(
                WorkerStatus(
                    slot,
                    started.host,
                    started.node,
                    started.pid,
                    metrics.tasks,
                    metrics.records_in,
                    metrics.records_out,
                    metrics.busy,
                    metrics.backpressured,
                    metrics.memory,
                    now - member.heard,
                )
            )
            records_in += metrics.records_in
            records_out += metrics.records_out
            errors += metrics.errors
            if metrics.lag is not None:
                lags.append(metrics.lag)
            if metrics.watermark is not None:
                marks.append(metrics.watermark)
        self._rates.append((now, records_in, records_out))
        since, first_in, first_out = self._rates[0]
        passed = max(now - since, 1e-9)
        # Each is assigned whole: whoever asks for the status does so from another thread.
        status.workers = workers
        status.rates = ((records_in - first_in) / passed, (records_out - first_out) / passed)
        status.records_in, status.records_out, status.errors = records_in, records_out, errors
        status.lag = sum(lags) if lags else None
        status.watermark = min(marks) if marks else None

    def show(self, hosted: CoordinatorDriver) -> None:
        """Take over what is known of an attempt and of its workers."""
        status = self._status
        status.attempt = hosted.coordinator.attempt
        status.stages = {} if hosted.topology is None else dict(hosted.topology.stages)
        status.epoch = status.epoch if hosted.manifest is None else hosted.manifest.epoch
        self.look()
        if hosted.started and status.state in ("running", "waiting"):
            outage = self.outage
            status.state, status.cause = ("waiting", outage) if outage else ("running", "")

    @property
    def load(self) -> Load:
        """How busy the workers are, and how far behind."""
        status = self._status
        return Load([worker.busy for worker in status.workers], status.lag, status.rates[0])

    @property
    def outage(self) -> str | None:
        """Why a worker waits for a system, if one does."""
        outages = (member.metrics.outage for member in self._pool.members.values())
        return next((outage for outage in outages if outage), None)
