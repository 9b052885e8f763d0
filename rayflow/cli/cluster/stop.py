"""`rayflow stop`: end a job of a cluster."""

from __future__ import annotations

import click

from rayflow.cli.cluster.options import cluster_at, ray_option


@click.command()
@click.argument("job")
@click.option("--savepoint", metavar="URI", help="Write a savepoint of the last checkpoint there.")
@click.option("--drain", is_flag=True, help="For good: fire every open window and event-time timer first.")
@click.option("--now", is_flag=True, help="At once, without a last checkpoint. Nothing is lost by that either.")
@ray_option
def stop(job: str, savepoint: str | None, drain: bool, now: bool, address: str | None) -> None:
    """Stop JOB after a last checkpoint, everything published, and take its processes off the cluster.

    A job that has ended by itself is only taken off.
    """
    if now and (savepoint or drain):
        raise click.UsageError("--now takes no last checkpoint, so it goes with neither --savepoint nor --drain")
    from rayflow.cli.cluster.places import absolute_uri

    savepoint = None if savepoint is None else absolute_uri(savepoint)
    with cluster_at(address) as cluster:
        handle = cluster.job(job)
        if now or handle.status().state in ("done", "stopped", "failed"):
            handle.remove()
            click.echo(f"{job} is off the cluster")
            return
        found = handle.stop(drain=drain, savepoint=savepoint)
    click.echo(f"{job} {found.state} at epoch {found.epoch}" + (f", savepoint {savepoint}" if savepoint else ""))
