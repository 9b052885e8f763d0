"""`rayflow logs`: prints the log lines of a job's processes."""

from __future__ import annotations

import time
from contextlib import suppress

import click

from rayflow.cli.jobs.options import place_of_jobs
from rayflow.cli.terminal import say


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Print new lines until the job ends, or until Ctrl-C.")
@place_of_jobs
def logs(job: str, follow: bool, address: str | None, state: str | None) -> None:
    """Print the last log lines of JOB's processes, as JSON lines in order of arrival. JOB is the job's name."""
    from rayflow.cli.jobs.finding import job_at
    from rayflow.core.errors import JobNotFound

    with job_at(job, address, state) as handle, suppress(KeyboardInterrupt):
        number, lines = handle.logs()
        with suppress(JobNotFound):  # the job has ended
            while True:
                for line in lines:
                    say(line)
                if not follow or (not lines and handle.status().ended):
                    return
                time.sleep(0.5)
                number, lines = handle.logs(number)
