"""Finds running jobs: on the named cluster, or else in the state directory, then on this machine's Ray cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayflow.cli.jobs.options import cluster_at
from rayflow.cli.options import settings_of
from rayflow.core.errors import ClusterUnavailable, JobNotFound, RayflowError, VersionMismatch

if TYPE_CHECKING:
    from rayflow.runtimes.hosting.control import JobControl
    from rayflow.runtimes.hosting.status import JobStatus
    from rayflow.runtimes.ray.client import Cluster


@contextmanager
def job_at(name: str, address: str | None, state: str | None) -> Iterator[JobControl]:
    """A running job. `address`: search this cluster only. Raises JobNotFound, which names the places searched,
    ClusterUnavailable, WorkerLost."""
    from rayflow.runtimes.local.control import local_job

    with ExitStack() as stack:
        if address is not None:
            yield stack.enter_context(cluster_at(address)).job(name)
            return
        folder = settings_of({"state": state}).state
        try:
            job: JobControl = local_job(folder, name)
        except JobNotFound:
            cluster = stack.enter_context(_cluster_here())
            job = _on(cluster, name, f"{folder.absolute()} (--state)")
        yield job


def statuses(address: str | None, state: str | None) -> list[JobStatus]:
    """The status of every job, local jobs first. Prints a line for a job that does not answer."""
    from rayflow.runtimes.local.control import local_jobs

    with ExitStack() as stack:
        if address is not None:
            return _answering(stack.enter_context(cluster_at(address)).jobs())
        found = _answering(local_jobs(settings_of({"state": state}).state))
        try:
            cluster = stack.enter_context(_cluster_here())
        except VersionMismatch as error:
            click.echo(str(error), err=True)
            cluster = None
        return found if cluster is None else [*found, *_answering(cluster.jobs())]


def _answering(jobs: Iterable[JobControl]) -> list[JobStatus]:
    found = []
    for job in jobs:
        try:
            found.append(job.status())
        except RayflowError as error:
            click.echo(f"{job.name}: {error.what}", err=True)
    return found


def _on(cluster: Cluster | None, name: str, looked_in: str) -> JobControl:
    if cluster is not None:
        with suppress(JobNotFound):
            return cluster.job(name)
    hint = "Give the job's name, not its file. " if name.endswith(".py") else ""
    ray = "; no Ray cluster runs on this machine" if cluster is None else " and on this machine's Ray cluster"
    raise JobNotFound(
        f"job {name} is not running",
        job=name,
        advice=f"{hint}Looked in {looked_in}{ray}. rayflow list shows the running jobs",
    )


@contextmanager
def _cluster_here() -> Iterator[Cluster | None]:
    """This machine's Ray cluster; None without a cluster or without Ray. Raises VersionMismatch."""
    with ExitStack() as stack:
        cluster: Cluster | None = None
        if _raylet_runs():
            with suppress(ClusterUnavailable):
                cluster = stack.enter_context(cluster_at(None))
        yield cluster


def _raylet_runs() -> bool:
    """Whether a node of a Ray cluster may run on this machine: importing Ray to find out takes a second."""
    processes = Path("/proc")
    if not (processes / "self").exists():
        return True  # not Linux: only Ray can tell
    for name in processes.glob("[0-9]*/comm"):
        with suppress(OSError):  # a process that has ended meanwhile
            if name.read_text().strip() == "raylet":
                return True
    return False
