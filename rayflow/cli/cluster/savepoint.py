"""`rayflow savepoint`: keep a checkpoint of a running job."""

from __future__ import annotations

import click

from rayflow.cli.cluster.options import cluster_at, ray_option


@click.command()
@click.argument("job")
@click.argument("uri")
@ray_option
def savepoint(job: str, uri: str, address: str | None) -> None:
    """Write a savepoint of running JOB to URI (file:, s3:, gs: or az:)."""
    from rayflow.cli.cluster.places import absolute_uri

    uri = absolute_uri(uri)
    with cluster_at(address) as cluster:
        epoch = cluster.job(job).savepoint(uri)
    click.echo(f"savepoint of epoch {epoch} written to {uri}")
