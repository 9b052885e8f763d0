"""`rayflow list`: lists the jobs on this machine and on a Ray cluster."""

from __future__ import annotations

import click

from rayflow.cli.jobs.options import json_option, place_of_jobs


@click.command("list")
@place_of_jobs
@json_option
def list_jobs(address: str | None, state: str | None, as_json: bool) -> None:
    """List the running jobs of the state directory, and the jobs of a Ray cluster.

    A job on a cluster stays in the list after it ends, until it is stopped.
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
        click.echo("No jobs. Start one here with rayflow run JOB, or on a Ray cluster with rayflow submit JOB.")
