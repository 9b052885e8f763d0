"""`rayflow stop`: stops a running job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rayflow.cli.jobs.options import place_of_jobs
from rayflow.core.errors import RayflowError

if TYPE_CHECKING:
    from rayflow.runtimes.hosting.status import JobStatus


@click.command()
@click.argument("job")
@click.option("--savepoint", metavar="URI", help="Write a savepoint of the final checkpoint to URI.")
@click.option("--drain", is_flag=True, help="Stop for good: fire every open window and event-time timer first.")
@click.option(
    "--now",
    is_flag=True,
    help="Stop at once, without a final checkpoint. No data is lost. A Kafka transaction may stay open until the next "
    "start, or until its timeout (60 s).",
)
@place_of_jobs
def stop(job: str, savepoint: str | None, drain: bool, now: bool, address: str | None, state: str | None) -> None:
    """Stop JOB after a final checkpoint, and publish its output. JOB is the job's name.

    Also removes a job's processes from a Ray cluster, if the job runs there or has ended there.
    """
    if now and (savepoint or drain):
        raise click.UsageError("--now takes no final checkpoint, so it excludes --savepoint and --drain")
    from rayflow.cli.jobs.finding import job_at
    from rayflow.cli.jobs.places import absolute_uri
    from rayflow.cli.jobs.shown import tell_of_silence
    from rayflow.cli.jobs.waiting import waiting_for
    from rayflow.runtimes.hosting.savepoints import ended_before

    savepoint = None if savepoint is None else absolute_uri(savepoint)
    with job_at(job, address, state) as handle:
        before = handle.status()
        tell_of_silence(before)
        if before.ended and savepoint is not None and savepoint not in before.savepoints:
            raise ended_before(job)
        if before.ended and drain and before.state != "done":
            raise _not_drained(before)
        if now or before.ended:
            handle.remove()
            click.echo(f"{job} removed from the cluster" if before.runtime == "ray" else f"{job} stopped at once")
            return
        with waiting_for(handle):
            found = handle.stop(drain=drain, savepoint=savepoint)
    click.echo(
        f"{job} {found.state} at epoch {found.epoch}"
        + (f", savepoint {savepoint}" if savepoint in found.savepoints else "")
    )


def _not_drained(status: JobStatus) -> RayflowError:
    cause = f": {status.cause}" if status.cause else ""
    return RayflowError(
        f"nothing was drained, because the job had {status.state}{cause}",
        job=status.name,
        advice=f"Start it again, and drain it then. rayflow stop {status.name} removes it from the cluster",
    )
