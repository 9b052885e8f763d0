"""`rayflow rescale`: change a running job's number of workers."""

from __future__ import annotations

import click

from rayflow.cli.cluster.options import cluster_at, ray_option


@click.command()
@click.argument("job")
@click.option("--workers", metavar="N", type=click.IntRange(min=1), required=True, help="The new number of workers.")
@ray_option
def rescale(job: str, workers: int, address: str | None) -> None:
    """Change JOB's number of workers. JOB is the job's name.

    The job takes a checkpoint, moves as few tasks as possible and resumes from it.
    """
    with cluster_at(address) as cluster:
        found = cluster.job(job).rescale(workers)
    pause = f", paused for {found.pauses[-1]:.1f} s" if found.pauses else ""
    many = "worker" if len(found.workers) == 1 else "workers"
    click.echo(f"{job} runs with {len(found.workers)} {many}{pause}")
