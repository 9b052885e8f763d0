"""`rayflow checkpoints JOB verify [EPOCH]`."""

from __future__ import annotations

import sys

import click

from rayflow.cli.checkpoints.opening import none_in, opened
from rayflow.cli.options import checkpoints_option, state_option
from rayflow.cli.terminal import say


@click.command()
@click.argument("epoch", type=int, required=False)
@state_option
@checkpoints_option
@click.pass_obj
def verify(job: str, epoch: int | None, state: str | None, checkpoints: str | None) -> None:
    """Verify the checksums of the checkpoint of EPOCH (default: all). Exit code 1: an object is damaged or missing."""
    from rayflow.checkpoint.inspect import list_checkpoints
    from rayflow.checkpoint.inspect import verify as findings_of

    store = opened(job, state, checkpoints)
    findings = findings_of(store, epoch)
    for finding in findings:
        epochs = ", ".join(map(str, finding.epochs))
        say(f"DAMAGED  {finding.name}: {finding.problem} (needed by epoch {epochs})")
    if findings:
        sys.exit(1)
    count = 1 if epoch is not None else len(list_checkpoints(store))
    if not count:
        raise none_in(store, job)
    say(f"verified: {count} checkpoint{'s' if count != 1 else ''} in {store.uri}")
