"""`rayflow list`: the jobs of this machine and of a Ray cluster."""

from __future__ import annotations

import click

from rayflow.cli.jobs.options import json_option, place_of_jobs


@click.command("list")
@place_of_jobs
@json_option
def list_jobs(address: str | None, state: str | None, as_json: bool) -> None:
    """List the jobs that run on the state directory, and those on a Ray cluster.

    A job on a cluster is listed until it is stopped, also when it has ended by itself.
    """
    from rich.console import Console

    from rayflow.cli.jobs.finding import statuses
    from rayflow.cli.jobs.shown import as_dict, list_table, print_json

    found = statuses(address, state)
    if as_json:
        print_json([as_dict(status) for status in found])
    elif found:
        Console(highlight=False).print(list_table(found))
    else:
        click.echo("No jobs. rayflow run JOB starts one here, rayflow submit JOB on a Ray cluster.")
