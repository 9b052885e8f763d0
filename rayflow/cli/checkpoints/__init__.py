"""`rayflow checkpoints JOB`: list, inspect and verify a job's checkpoints."""

import click

from rayflow.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("rayflow.cli.checkpoints.list:list_all", "List all checkpoints, oldest first."),
    "show": ("rayflow.cli.checkpoints.show:show", "Show one checkpoint: tasks, positions, sizes."),
    "verify": ("rayflow.cli.checkpoints.verify:verify", "Read checkpoints and verify their checksums."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
@click.argument("job")
@click.pass_context
def checkpoints(ctx: click.Context, job: str) -> None:
    """List, inspect and verify the checkpoints of JOB, a job's name or FILE.

    With --checkpoints, each command reads another checkpoint store, or a savepoint.
    """
    ctx.obj = job
