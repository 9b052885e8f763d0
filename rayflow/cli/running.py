"""Refuses to start a job that is known to run already, before the start ends the attempt that runs.

What cannot be seen from here, a run on another machine, is taken over instead: docs/concepts/exactly-once.md.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from rayflow.core.errors import AlreadyRunning, ClusterUnavailable, JobNotFound, RayflowError, VersionMismatch

if TYPE_CHECKING:
    from rayflow.runtimes.hosting.options import RunOptions


def refuse_running(job: str, options: RunOptions) -> None:
    """Raise AlreadyRunning if a process here runs the job on this state directory, or a Ray cluster on these
    checkpoints.

    Only if the checkpoints were last used by a job on Ray that has not ended is Ray asked, on the cluster of
    RAY_ADDRESS or of this machine.
    """
    from rayflow.runtimes.local.sockets import holder_of

    folder = options.job_folder(job)
    holder = holder_of(folder)
    if holder is not None:
        raise AlreadyRunning(f"process {holder} runs this job on {folder}", job=job)
    with suppress(
        JobNotFound, ClusterUnavailable, VersionMismatch
    ):  # no Ray, or one whose jobs cannot be seen from here
        _refuse_on_ray(job, options.checkpoint_store(job))


def _refuse_on_ray(job: str, checkpoints: str) -> None:
    from rayflow.checkpoint.open import open_store
    from rayflow.runtimes.hosting.status import ENDED
    from rayflow.runtimes.ray.deployment import read_deployment

    try:
        deployment = read_deployment(open_store(checkpoints))
    except RayflowError:
        return  # the start itself says what is wrong with its checkpoints
    if deployment is None or deployment.state in ENDED:
        return
    from rayflow.cli.jobs.finding import cluster_here

    with cluster_here(os.environ.get("RAY_ADDRESS")) as cluster:
        if cluster is None:
            return
        status = cluster.job(job).status()
    if status.submission == deployment.submission and not status.ended:
        raise AlreadyRunning(
            f"the job runs on Ray, on the same checkpoints: its coordinator is process {status.pid} on {status.host}",
            job=job,
        )
