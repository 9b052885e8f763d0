"""`rayflow status`: shows one running job."""

from __future__ import annotations

import click

from rayflow.cli.jobs.options import json_option, place_of_jobs


@click.command()
@click.argument("job")
@place_of_jobs
@json_option
def status(job: str, address: str | None, state: str | None, as_json: bool) -> None:
    """Show JOB's status: rates, lag, event time, last checkpoint, and where its tasks run. JOB is the job's name."""
    from rich.console import Console

    from rayflow.cli.jobs.finding import job_at
    from rayflow.cli.jobs.shown import as_dict, print_json, print_status

    with job_at(job, address, state) as handle:
        found = handle.status()
    if as_json:
        print_json(as_dict(found))
    else:
        print_status(Console(highlight=False), found)
