"""`rayflow stop`: stops a running job."""

from __future__ import annotations

import click

from rayflow.cli.jobs.options import place_of_jobs


@click.command()
@click.argument("job")
@click.option("--savepoint", metavar="URI", help="Write a savepoint of the final checkpoint to URI.")
@click.option("--drain", is_flag=True, help="Stop for good: fire every open window and event-time timer first.")
@click.option("--now", is_flag=True, help="Stop at once, without a final checkpoint. No data is lost.")
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
    from rayflow.runtimes.hosting.savepoints import ended_before

    savepoint = None if savepoint is None else absolute_uri(savepoint)
    with job_at(job, address, state) as handle:
        before = handle.status()
        tell_of_silence(before)
        if before.ended and savepoint is not None and savepoint not in before.savepoints:
            raise ended_before(job)
        if now or before.ended:
            handle.remove()
            click.echo(f"{job} removed from the cluster" if before.runtime == "ray" else f"{job} stopped at once")
            return
        found = handle.stop(drain=drain, savepoint=savepoint)
    click.echo(
        f"{job} {found.state} at epoch {found.epoch}"
        + (f", savepoint {savepoint}" if savepoint in found.savepoints else "")
    )
