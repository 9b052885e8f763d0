"""`rayflow checkpoints JOB list`."""

from __future__ import annotations

import click

from rayflow.cli.checkpoints.opening import none_in, opened
from rayflow.cli.figures import size_text, time_text
from rayflow.cli.options import checkpoints_option, state_option
from rayflow.cli.terminal import say


@click.command("list")
@state_option
@checkpoints_option
@click.pass_obj
def list_all(job: str, state: str | None, checkpoints: str | None) -> None:
    """List each checkpoint's epoch, time (UTC), attempt, size of its changes, and whether it is a savepoint."""
    from rayflow.checkpoint.inspect import list_checkpoints

    store = opened(job, state, checkpoints)
    found = list_checkpoints(store)
    if not found:
        raise none_in(store, job)
    for info in found:
        if info.manifest is None:
            say(f"{info.epoch:>8}  DAMAGED: {info.problem}")
            continue
        manifest = info.manifest
        kind = "  savepoint" if manifest.savepoint else ""
        size = size_text(manifest.bytes)
        say(f"{info.epoch:>8}  {time_text(manifest.created)}  attempt {manifest.attempt}  {size:>10}{kind}")
