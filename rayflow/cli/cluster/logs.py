"""`rayflow logs`: what the processes of a job have logged."""

from __future__ import annotations

import time
from contextlib import suppress

import click

from rayflow.cli.cluster.options import cluster_at, ray_option


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until the job ends, or Ctrl-C.")
@ray_option
def logs(job: str, follow: bool, address: str | None) -> None:
    """Print the last log lines of JOB's coordinator and workers, JSON lines in order of arrival."""
    with cluster_at(address) as cluster, suppress(KeyboardInterrupt):
        handle = cluster.job(job)
        number = 0
        while True:
            number, lines = handle.logs(number)
            for line in lines:
                click.echo(line)
            if not follow or (not lines and handle.status().state in ("done", "stopped", "failed")):
                return
            time.sleep(0.5)
