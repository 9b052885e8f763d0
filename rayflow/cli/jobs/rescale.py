"""`rayflow rescale`: other workers for a running job."""

from __future__ import annotations

import click

from rayflow.cli.jobs.options import place_of_jobs


@click.command()
@click.argument("job")
@click.option("--workers", metavar="N", type=click.IntRange(min=1), required=True, help="How many from now on.")
@place_of_jobs
def rescale(job: str, workers: int, address: str | None, state: str | None) -> None:
    """Let JOB, running on a Ray cluster, go on with N workers. Only the tasks that must move do, from a last
    checkpoint."""
    from rayflow.cli.jobs.finding import job_at

    with job_at(job, address, state) as handle:
        found = handle.rescale(workers)
    pause = f", paused for {found.pauses[-1]:.1f} s" if found.pauses else ""
    many = "worker" if len(found.workers) == 1 else "workers"
    click.echo(f"{job} runs with {len(found.workers)} {many}{pause}")
