"""Updates a job's status from the metrics that its workers on Ray report."""

from __future__ import annotations

import os
import socket
import time

from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import RayflowError
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.overview import Overview, worker_status
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray.pool import Pool
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.watching.autoscaling import Load

log = get_logger("rayflow.coordinator")


def first_status(spec: JobSpec) -> JobStatus:
    """The first status of a job whose coordinator has just started in this process."""
    return JobStatus(
        spec.name,
        "starting",
        runtime="ray",
        submission=spec.submission,
        target=spec.target,
        broker=spec.broker,
        checkpoints=spec.checkpoints,
        since=time.time(),
        host=socket.gethostname(),
        pid=os.getpid(),
    )


def show_newest(status: JobStatus, store: CheckpointStore) -> None:
    """Show the newest checkpoint of a job that has run before, until there is a newer one. Raises nothing."""
    try:
        newest = newest_manifest(store)
    except RayflowError as error:  # whoever needs it reports it
        log.debug("the newest checkpoint cannot be shown", job=status.name, reason=error.what)
        return
    if newest is not None:
        status.epoch, status.attempt, status.stages = newest.epoch, newest.attempt, dict(newest.stages)
        status.committed, status.checkpoint_bytes = newest.created / 1000, newest.bytes


class PoolOverview:
    """Reads the measurements of a pool's workers."""

    def __init__(self, status: JobStatus, pool: Pool) -> None:
        self._status = status
        self._pool = pool
        self._overview = Overview(status, time.monotonic())

    def look(self) -> None:
        """Update the status."""
        now = time.monotonic()
        workers = [
            (
                worker_status(
                    slot,
                    member.started.host,
                    member.started.node,
                    member.started.pid,
                    member.metrics,
                    now - member.heard,
                ),
                member.metrics,
            )
            for slot, member in sorted(self._pool.members.items())
            if member.started is not None
        ]
        self._overview.measured(workers, self._pool.gone, now)

    def show(self, hosted: CoordinatorDriver) -> None:
        """Update the status with the fields of an attempt, and the reason if its workers wait."""
        status = self._status
        self._overview.coordinated(hosted)
        if hosted.started and status.state in ("running", "waiting"):
            outage = self.outage
            status.state, status.cause = ("waiting", outage) if outage else ("running", "")

    @property
    def load(self) -> Load:
        """The load of the workers, and the lag."""
        status = self._status
        return Load([worker.busy for worker in status.workers], status.lag, status.rates[0])

    @property
    def outage(self) -> str | None:
        """Why a worker waits for a system, if one does."""
        outages = (member.metrics.outage for member in self._pool.members.values())
        return next((outage for outage in outages if outage), None)
