"""`rayflow`: the root command group. It turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from rayflow.cli.lazy import LazyGroup
from rayflow.core.errors import RayflowError
from rayflow.version import __version__

COMMANDS = {
    "run": ("rayflow.cli.run:run", "Run a job on this machine."),
    "submit": ("rayflow.cli.jobs.submit:submit", "Start a job on a Ray cluster."),
    "list": ("rayflow.cli.jobs.list:list_jobs", "List the jobs on this machine and on a Ray cluster."),
    "status": ("rayflow.cli.jobs.status:status", "Show a job's status."),
    "logs": ("rayflow.cli.jobs.logs:logs", "Print a job's logs."),
    "stop": ("rayflow.cli.jobs.stop:stop", "Stop a running job."),
    "savepoint": ("rayflow.cli.jobs.savepoint:savepoint", "Write a savepoint of a running job."),
    "rescale": ("rayflow.cli.jobs.rescale:rescale", "Change the number of workers of a job on a Ray cluster."),
    "describe": ("rayflow.cli.describe:describe", "Show a job's stages, operators, states and topics."),
    "topics": ("rayflow.cli.topics:topics", "List, create, read, write and delete topics."),
    "checkpoints": ("rayflow.cli.checkpoints:checkpoints", "List, inspect and verify a job's checkpoints."),
    "new": ("rayflow.cli.new:new", "Create a project: a job, a test and a README."),
    "doctor": ("rayflow.cli.doctor:doctor", "Check this machine and the broker."),
}


class _Root(LazyGroup):
    """Turns an error into one message and an exit code: 1 job failed, 2 usage error, 3 no broker or cluster."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except RayflowError as error:
            if os.environ.get("RAYFLOW_DEBUG"):
                raise
            from rayflow.cli.errors import show_error

            show_error(error)
            sys.exit(error.exit_code)
        except Exception as error:
            if os.environ.get("RAYFLOW_DEBUG"):
                raise
            from rayflow.cli.errors import show_unexpected

            show_unexpected(error)
            sys.exit(1)


@click.group(cls=_Root, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rayflow", message="%(prog)s %(version)s")
def cli() -> None:
    """Stateful stream processing for Kafka, exactly once.

    \b
    Exit codes: 0 success, 1 the job failed, 2 usage error, 3 the broker or cluster could not be reached.
    Set RAYFLOW_DEBUG=1 to see tracebacks.
    """


def main() -> None:
    """Entry point of the `rayflow` command."""
    cli(prog_name="rayflow")
