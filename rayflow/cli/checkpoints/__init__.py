"""`rayflow checkpoints JOB`: what is in a job's checkpoint store."""

import click

from rayflow.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("rayflow.cli.checkpoints.list:list_all", "All checkpoints, oldest first."),
    "show": ("rayflow.cli.checkpoints.show:show", "One checkpoint in full: tasks, positions, sizes."),
    "verify": ("rayflow.cli.checkpoints.verify:verify", "Read everything and check every byte."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
@click.argument("job")
@click.pass_context
def checkpoints(ctx: click.Context, job: str) -> None:
    """Look at the checkpoints of JOB (its name, or its FILE), or with --checkpoints at any store or savepoint."""
    ctx.obj = job
