"""What a new attempt makes of the last manifest and the markers. Pure decisions; docs/concepts/exactly-once.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import (
    CheckpointsBehindOutput,
    MarkerLost,
    OutputOfAnotherRun,
    StateDirectoryMismatch,
    StateKindChanged,
    StateWouldBeDropped,
)
from rayflow.core.ids import Marker, SinkTask
from rayflow.plan.physical import JobPlan


def check_states(plan: JobPlan, manifest: Manifest, *, drop_state: bool) -> None:
    """Refuse to lose state: every state of the checkpoint must have its operator, of the same kind.

    Raises StateDirectoryMismatch for another job's checkpoint, StateWouldBeDropped, StateKindChanged.
    """
    if manifest.job != plan.name:
        raise StateDirectoryMismatch(f"the checkpoints are of job {manifest.job}, not of {plan.name}", job=plan.name)
    if drop_state:
        return
    states = plan.states()
    gone = sorted(name for name, entry in manifest.states.items() if name not in states and entry.kind != "expiry")
    if gone:
        raise StateWouldBeDropped(
            f"the checkpoint of epoch {manifest.epoch} holds state that the job no longer has: {', '.join(gone)}",
            job=plan.name,
        )
    for name, entry in manifest.states.items():
        if name in states and states[name].kind != entry.kind:
            raise StateKindChanged(f"state {name} was {entry.kind} and is {states[name].kind} now", job=plan.name)
    sinks = {sink.operator for stage in plan.stages for sink in stage.sinks}
    unpublished_sinks = sorted(set(manifest.sinks) - sinks) if manifest.outputs else []
    if unpublished_sinks and manifest.published < manifest.epoch:
        raise StateWouldBeDropped(
            f"epoch {manifest.epoch} holds output, not published yet, of sinks that the job no longer has: "
            + ", ".join(unpublished_sinks),
            job=plan.name,
            advice="Run the job as it was once more (--until-end is enough), or give it up with --drop-state",
        )


def check_unused(job: str, markers: Mapping[SinkTask, Marker | None]) -> None:
    """Refuse to begin anew where the job has published before: its output would appear twice.

    Raises OutputOfAnotherRun.
    """
    for sink, marker in markers.items():
        if marker is not None:
            raise OutputOfAnotherRun(
                f"there is no checkpoint here, but the job has published up to epoch {marker.epoch} with others",
                job=job,
                operator=sink.operator,
                partition=sink.partition,
            )


def unpublished(
    manifest: Manifest,
    markers: Mapping[SinkTask, Marker | None],
    lost_marker: Literal["republish", "skip"] | None,
) -> list[SinkTask]:
    """The sink tasks whose staged output of the manifest's epoch is not visible yet.

    A manifest is written only once everything before its epoch is published, so only its own epoch can be open.
    Raises MarkerLost when a marker that must exist does not, CheckpointsBehindOutput when it is ahead of the manifest.
    """
    if manifest.published >= manifest.epoch or not manifest.outputs:
        _check_ahead(manifest, markers)
        return []
    _check_ahead(manifest, markers)
    missing: list[SinkTask] = []
    for sink in sink_tasks_of(manifest):
        marker = markers.get(sink)
        if marker is not None and marker.lineage == manifest.lineage:
            if marker.epoch < manifest.epoch:
                missing.append(sink)
        elif manifest.sinks[sink.operator].since > manifest.published or lost_marker == "republish":
            missing.append(sink)
        elif lost_marker is None:
            raise MarkerLost(
                f"the marker of this sink is gone, and whether epoch {manifest.epoch} was published is not known",
                job=manifest.job,
                operator=sink.operator,
                partition=sink.partition,
            )
    return missing


def sink_tasks_of(manifest: Manifest) -> list[SinkTask]:
    """The sink tasks that the manifest's epoch had."""
    return [
        SinkTask(operator, partition) for operator, sink in manifest.sinks.items() for partition in range(sink.tasks)
    ]


def _check_ahead(manifest: Manifest, markers: Mapping[SinkTask, Marker | None]) -> None:
    for sink, marker in markers.items():
        if marker is not None and marker.lineage == manifest.lineage and marker.epoch > manifest.epoch:
            raise CheckpointsBehindOutput(
                f"epoch {marker.epoch} is published, but the newest checkpoint is of epoch {manifest.epoch}",
                job=manifest.job,
                operator=sink.operator,
                partition=sink.partition,
            )
