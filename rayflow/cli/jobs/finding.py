"""Finds running jobs: on the named cluster, or else in the state directory, then on this machine's Ray cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from rayflow.cli.jobs.options import cluster_at
from rayflow.cli.options import settings_of
from rayflow.cli.terminal import say
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
            looked_in = f"{folder.absolute()} (--state)"
            try:
                cluster = stack.enter_context(cluster_here())
            except ClusterUnavailable as error:
                raise _not_found(name, f"{looked_in}; {error.what}") from error
            job = _on(cluster, name, looked_in)
        yield job


def statuses(address: str | None, state: str | None) -> list[JobStatus]:
    """The status of every job, local jobs first. Prints a line for a job that does not answer."""
    from rayflow.runtimes.local.control import local_jobs

    with ExitStack() as stack:
        if address is not None:
            return _answering(stack.enter_context(cluster_at(address)).jobs())
        found = _answering(local_jobs(settings_of({"state": state}).state))
        try:
            cluster = stack.enter_context(cluster_here())
        except (ClusterUnavailable, VersionMismatch) as error:
            say(str(error), err=True)
            cluster = None
        return found if cluster is None else [*found, *_answering(cluster.jobs())]


def _answering(jobs: Iterable[JobControl]) -> list[JobStatus]:
    found = []
    for job in jobs:
        try:
            found.append(job.status())
        except RayflowError as error:
            say(f"{job.name}: {error.what}", err=True)
    return found


def _on(cluster: Cluster | None, name: str, looked_in: str) -> JobControl:
    if cluster is not None:
        with suppress(JobNotFound):
            return cluster.job(name)
    ray = "; no Ray cluster runs on this machine" if cluster is None else " and on this machine's Ray cluster"
    raise _not_found(name, looked_in + ray)


def _not_found(name: str, looked_in: str) -> JobNotFound:
    hint = "Give the job's name, not its file. " if name.endswith(".py") else ""
    return JobNotFound(
        f"job {name} is not running",
        job=name,
        advice=f"{hint}Looked in {looked_in}. rayflow list shows the running jobs",
    )


@contextmanager
def cluster_here(address: str | None = None) -> Iterator[Cluster | None]:
    """The Ray cluster at `address`, by default this machine's; None without a cluster or without Ray.

    Raises ClusterUnavailable if there is one that does not answer, VersionMismatch.
    """
    from rayflow.runtimes.ray.address import address_here

    with ExitStack() as stack:
        found = address or address_here()  # importing Ray to find out takes a second
        cluster: Cluster | None = None
        if found is not None and _ray_is_installed():
            try:
                cluster = stack.enter_context(cluster_at(address))
            except ClusterUnavailable:
                if found != "auto":  # otherwise there may be none
                    raise
        yield cluster


def _ray_is_installed() -> bool:
    try:
        import ray  # noqa: F401
    except ImportError:
        return False
    return True
