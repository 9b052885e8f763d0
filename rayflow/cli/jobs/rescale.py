"""`rayflow rescale`: changes a running job's number of workers."""

from __future__ import annotations

import click

from rayflow.cli.jobs.options import place_of_jobs


@click.command()
@click.argument("job")
@click.option("--workers", metavar="N", type=click.IntRange(min=1), required=True, help="The new number of workers.")
@place_of_jobs
def rescale(job: str, workers: int, address: str | None, state: str | None) -> None:
    """Change the number of workers of JOB, which runs on a Ray cluster. JOB is the job's name.

    The job takes a checkpoint, moves as few tasks as possible and resumes from it.
    """
    from rayflow.cli.jobs.finding import job_at
    from rayflow.cli.jobs.waiting import waiting_for

    with job_at(job, address, state) as handle, waiting_for(handle):
        found = handle.rescale(workers)
    pause = f", paused for {found.pauses[-1]:.1f} s" if found.pauses else ""
    many = "worker" if len(found.workers) == 1 else "workers"
    click.echo(f"{job} runs with {len(found.workers)} {many}{pause}")
