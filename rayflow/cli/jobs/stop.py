"""`rayflow stop`: end a running job."""

from __future__ import annotations

import click

from rayflow.cli.jobs.options import place_of_jobs


@click.command()
@click.argument("job")
@click.option("--savepoint", metavar="URI", help="Write a savepoint of the last checkpoint there.")
@click.option("--drain", is_flag=True, help="For good: fire every open window and event-time timer first.")
@click.option("--now", is_flag=True, help="At once, without a last checkpoint. Nothing is lost by that either.")
@place_of_jobs
def stop(job: str, savepoint: str | None, drain: bool, now: bool, address: str | None, state: str | None) -> None:
    """Stop JOB after a last checkpoint, with everything published; on a cluster, take its processes off it.

    A job on a cluster that has ended by itself is only taken off.
    """
    if now and (savepoint or drain):
        raise click.UsageError("--now takes no last checkpoint, so it goes with neither --savepoint nor --drain")
    from rayflow.cli.jobs.finding import job_at
    from rayflow.cli.jobs.places import absolute_uri
    from rayflow.runtimes.hosting.savepoints import ended_before

    savepoint = None if savepoint is None else absolute_uri(savepoint)
    with job_at(job, address, state) as handle:
        before = handle.status()
        if before.ended and savepoint is not None and savepoint not in before.savepoints:
            raise ended_before(job)
        if now or before.ended:
            handle.remove()
            click.echo(f"{job} is off the cluster" if before.runtime == "ray" else f"{job} ended at once")
            return
        found = handle.stop(drain=drain, savepoint=savepoint)
    click.echo(
        f"{job} {found.state} at epoch {found.epoch}"
        + (f", savepoint {savepoint}" if savepoint in found.savepoints else "")
    )
