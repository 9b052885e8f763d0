"""`rayflow list`: the jobs of a cluster."""

from __future__ import annotations

import click

from rayflow.cli.cluster.options import cluster_at, json_option, ray_option


@click.command("list")
@ray_option
@json_option
def list_jobs(address: str | None, as_json: bool) -> None:
    """List the jobs on a Ray cluster, those that have ended too until they are stopped."""
    from rich.console import Console

    from rayflow.cli.cluster.shown import as_dict, list_table, print_json

    with cluster_at(address) as cluster:
        statuses = [job.status() for job in cluster.jobs()]
    if as_json:
        print_json([as_dict(status) for status in statuses])
    elif statuses:
        Console(highlight=False).print(list_table(statuses))
    else:
        click.echo("No jobs. rayflow submit JOB starts one.")
