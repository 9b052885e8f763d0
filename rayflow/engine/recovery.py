"""What a new attempt makes of the last manifest and the markers. Pure decisions; docs/concepts/exactly-once.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import (
    CheckpointsBehindOutput,
    MarkerLost,
    OutputOfAnotherRun,
    SourceMoved,
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


def check_systems(manifest: Manifest, systems: Mapping[str, str]) -> None:
    """Refuse to take one system's positions for another's: records would be skipped or read twice, silently.

    Raises SourceMoved.
    """
    for source, system in systems.items():
        before = manifest.systems.get(source, system)
        if system != before:
            raise SourceMoved(
                f"the checkpoint of epoch {manifest.epoch} was taken while the topic was read from {before}, "
                f"and now it is read from {system}",
                job=manifest.job,
                topic=source,
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

    A manifest is written only once everything before its epoch is published, so only its own epoch can be open. The
    first manifest of a lineage (a start from a savepoint or an older checkpoint) has nothing to publish, but the sinks
    whose markers are not the lineage's own yet: so a marker of another lineage, later on, is known for what it is.

    Raises MarkerLost when a marker that must exist does not, OutputOfAnotherRun when another lineage has taken over,
    CheckpointsBehindOutput when a marker is ahead of the manifest.
    """
    _check_ahead(manifest, markers)
    # Sinks of operators that the job no longer has are not in `markers`: their output was given up.
    sinks = [sink for sink in sink_tasks_of(manifest) if sink in markers]
    begins = manifest.published >= manifest.epoch
    missing: list[SinkTask] = []
    for sink in sinks:
        marker = markers[sink]
        if marker is not None and marker.lineage == manifest.lineage:
            if marker.epoch < manifest.epoch:
                missing.append(sink)
        elif begins or manifest.sinks[sink.operator].since > manifest.published or lost_marker == "republish":
            missing.append(sink)
        elif lost_marker is None and marker is not None:
            raise OutputOfAnotherRun(
                f"the job has gone on with other checkpoints, and has published up to epoch {marker.epoch} with them",
                job=manifest.job,
                operator=sink.operator,
                partition=sink.partition,
            )
        elif lost_marker is None and manifest.outputs:
            raise MarkerLost(
                f"the marker of this sink is gone, and whether epoch {manifest.epoch} was published is not known",
                job=manifest.job,
                operator=sink.operator,
                partition=sink.partition,
            )
    if manifest.outputs or begins:
        return missing
    # Nothing to publish; but every sink has a marker from its first epoch on, so that one that is lost can be told.
    return [sink for sink in missing if (marker := markers[sink]) is None or marker.lineage != manifest.lineage]


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
