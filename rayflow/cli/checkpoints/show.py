"""`rayflow checkpoints JOB show [EPOCH]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rayflow.cli.checkpoints.opening import opened
from rayflow.cli.figures import size_text, time_text
from rayflow.cli.options import checkpoints_option, state_option
from rayflow.cli.terminal import say
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN

if TYPE_CHECKING:
    from rayflow.checkpoint.inspect import CheckpointDetail, TaskInfo

_TIMES = ("newest", "watermark", "entries", "passed")
"""The entries of a task's progress that are event times, in ms."""


@click.command()
@click.argument("epoch", type=int, required=False)
@state_option
@checkpoints_option
@click.pass_obj
def show(job: str, epoch: int | None, state: str | None, checkpoints: str | None) -> None:
    """Show the checkpoint of EPOCH (default: the newest): its objects, and each task's positions and state."""
    from rayflow.checkpoint.inspect import show as detail_of

    for line in _lines(detail_of(opened(job, state, checkpoints), epoch)):
        say(line)


def _lines(detail: CheckpointDetail) -> list[str]:
    manifest = detail.manifest
    objects = "1 object" if len(detail.objects) == 1 else f"{len(detail.objects)} objects"
    facts: dict[str, Any] = {
        "job": manifest.job,
        "epoch": manifest.epoch,
        "attempt": manifest.attempt,
        "lineage": manifest.lineage,
        "created": f"{time_text(manifest.created)} UTC",
        "delivery": manifest.delivery,
        "published": "everything" if detail.published else f"up to epoch {manifest.published} when it was written",
        "size": f"{size_text(detail.bytes)} in {objects}, {size_text(manifest.bytes)} of it new",
        "states": ", ".join(f"{name} ({entry.kind})" for name, entry in manifest.states.items()) or "none",
    }
    lines = [f"{name:10} {value}" for name, value in facts.items()]
    for task in detail.tasks:
        lines.append(f"task {task.task}: {_restore(task)}")
        lines += [f"  staged   {sink}: {count:,} records" for sink, count in task.staged.items()]
        lines += [f"  {name:9} {_progress(name, value)}" for name, value in task.progress.items()]
    return lines


def _restore(task: TaskInfo) -> str:
    base = "no base" if task.base_epoch is None else f"base of epoch {task.base_epoch} ({size_text(task.base_bytes)})"
    return f"{base}, {task.deltas} delta{'s' if task.deltas != 1 else ''} ({size_text(task.delta_bytes)})"


def _progress(name: str, value: Any) -> str:
    """A value as text: event times as dates; of bytes only the length, since they may contain keys."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_progress(name, inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_progress(name, inner) for inner in value) or "none"
    if isinstance(value, int) and name in _TIMES:
        ends = {WATERMARK_MIN: "before the first record", WATERMARK_MAX: "the end of time: the run has ended"}
        return ends.get(value) or f"{time_text(value)} UTC"
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
