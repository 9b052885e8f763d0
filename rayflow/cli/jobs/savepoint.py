"""`rayflow savepoint`: writes a savepoint of a running job."""

from __future__ import annotations

import click

from rayflow.cli.jobs.options import place_of_jobs


@click.command()
@click.argument("job")
@click.argument("uri")
@place_of_jobs
def savepoint(job: str, uri: str, address: str | None, state: str | None) -> None:
    """Write a savepoint of a running job to URI (file:, s3:, gs: or az:). JOB is the job's name."""
    from rayflow.cli.jobs.finding import job_at
    from rayflow.cli.jobs.places import absolute_uri
    from rayflow.cli.jobs.shown import tell_of_silence
    from rayflow.cli.jobs.waiting import waiting_for

    uri = absolute_uri(uri)
    with job_at(job, address, state) as handle:
        tell_of_silence(handle.status())
        with waiting_for(handle):
            epoch = handle.savepoint(uri)
    click.echo(f"savepoint of epoch {epoch} written to {uri}")
