"""`rayflow status`: one job of a cluster."""

from __future__ import annotations

import click

from rayflow.cli.cluster.options import cluster_at, json_option, ray_option


@click.command()
@click.argument("job")
@ray_option
@json_option
def status(job: str, address: str | None, as_json: bool) -> None:
    """Show how JOB (its name) does: rates, lag, event time, last checkpoint, and where its tasks run."""
    from rich.console import Console

    from rayflow.cli.cluster.shown import as_dict, print_json, print_status

    with cluster_at(address) as cluster:
        found = cluster.job(job).status()
    if as_json:
        print_json(as_dict(found))
    else:
        print_status(Console(highlight=False), found)
