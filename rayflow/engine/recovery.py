"""The decisions of a recovery, from the last manifest and the markers. Pure; see docs/concepts/exactly-once.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import (
    CheckpointsBehindOutput,
    MarkerLost,
    OutputOfAnotherRun,
    SourceDataLost,
    SourceMoved,
    StateDirectoryMismatch,
    StateKindChanged,
    StateWouldBeDropped,
)
from rayflow.core.ids import Epoch, Marker, SinkTask
from rayflow.plan.physical import JobPlan

_ANEW = "To read the topic from its beginning, start over: rename the job, or use an empty --state (and \
--checkpoints) and --new-lineage; if the topic is in the embedded log of the old one, also --broker embedded:OLD/log"


def check_states(plan: JobPlan, manifest: Manifest, *, drop_state: bool) -> None:
    """Refuse to lose state: every state of the checkpoint must have its operator, with the same kind and shape.

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
        if name in states and (states[name].kind, states[name].shape) != (entry.kind, entry.shape):
            before, now = _described(entry.kind, entry.shape), _described(states[name].kind, states[name].shape)
            raise StateKindChanged(f"state {name} was {before} and is {now} now", job=plan.name)
    sinks = {sink.operator for stage in plan.stages for sink in stage.sinks}
    unpublished_sinks = sorted(set(manifest.sinks) - sinks) if manifest.outputs else []
    if unpublished_sinks and manifest.published < manifest.epoch:
        raise StateWouldBeDropped(
            f"epoch {manifest.epoch} holds output, not published yet, of sinks that the job no longer has: "
            + ", ".join(unpublished_sinks),
            job=plan.name,
            advice="Run the previous version of the job once (--until-end is enough), or discard it with --drop-state",
        )


def _described(kind: str, shape: str) -> str:
    return f"{kind} ({shape})" if shape else kind


def continues(before: str, now: str) -> bool:
    """Whether an identity (`Connector.identity`) is still the same, apart from added partitions."""
    return f"{now},".startswith(f"{before},")


def check_systems(manifest: Manifest, systems: Mapping[str, str]) -> None:
    """Refuse to use the positions of one topic for another: records would be skipped or read twice, silently.

    Raises SourceMoved if a source is read from another system, SourceDataLost if it is another topic of the same
    system, or if one of its partitions is another file.
    """
    for source, identity in systems.items():
        before = manifest.systems.get(source, identity)
        if continues(before, identity):
            continue
        system, _, topic = identity.partition("#")
        system_before, _, topic_before = before.partition("#")
        if system != system_before:
            # In old checkpoints an identity names only the system (for files: and the working directory), no topic.
            if not topic_before and system_before.startswith(system):
                continue
            raise SourceMoved(
                f"at the checkpoint of epoch {manifest.epoch} the topic was read from {system_before}, "
                f"now it is read from {system}",
                job=manifest.job,
                topic=source,
            )
        if topic_before:
            raise _another_topic(manifest, source, topic_before.split(","), topic.split(","))


def check_unused(job: str, markers: Mapping[SinkTask, Marker | None]) -> None:
    """Refuse to start from the beginning if the job has published before: its output would appear twice.

    A marker of epoch 0 comes from a run that published nothing. Raises OutputOfAnotherRun.
    """
    for sink, marker in markers.items():
        if marker is not None and marker.epoch > 0:
            raise OutputOfAnotherRun(
                f"there is no checkpoint, but the job has published up to epoch {marker.epoch} with other checkpoints",
                job=job,
                operator=sink.operator,
                partition=sink.partition,
            )


@dataclass(frozen=True, slots=True)
class LostMarker:
    """The user's answer for an epoch whose marker is lost. It is valid for this epoch only."""

    choice: Literal["republish", "skip"]
    epoch: Epoch


def unpublished(
    manifest: Manifest, markers: Mapping[SinkTask, Marker | None], lost_marker: LostMarker | None
) -> list[SinkTask]:
    """The sink tasks whose staged output of the manifest's epoch is not visible yet.

    A manifest is written only when everything before its epoch is published, so only its own epoch can be unpublished.
    Every sink has a marker of the lineage before an epoch begins (`unmarked`). So a missing marker was lost, and a
    marker of another lineage means that this other lineage has taken over. The only exception is the first manifest of
    a lineage (a start from a savepoint or an older checkpoint), which has nothing to publish.

    Raises MarkerLost if a marker that is needed is lost, OutputOfAnotherRun if another lineage has taken over,
    CheckpointsBehindOutput if a marker is ahead of the manifest.
    """
    _check_ahead(manifest, markers)
    missing: list[SinkTask] = []
    # Sinks of operators that the job no longer has are not in `markers`: the user has dropped their output.
    for sink in [sink for sink in sink_tasks_of(manifest) if sink in markers]:
        marker = markers[sink]
        if marker is not None and marker.lineage == manifest.lineage:
            if marker.epoch < manifest.epoch and manifest.outputs:
                missing.append(sink)
        elif manifest.published >= manifest.epoch:
            continue
        elif marker is not None:
            raise OutputOfAnotherRun(
                f"the job has since run with other checkpoints, and has published up to epoch {marker.epoch} with them",
                job=manifest.job,
                operator=sink.operator,
                partition=sink.partition,
            )
        elif manifest.outputs:
            if lost_marker is None or lost_marker.epoch != manifest.epoch:
                raise _lost(manifest, sink)
            if lost_marker.choice == "republish":
                missing.append(sink)
    return missing


def unmarked(lineage: str, sinks: Sequence[SinkTask], markers: Mapping[SinkTask, Marker | None]) -> list[SinkTask]:
    """The `sinks` without a marker of the lineage. It must be set before their next epoch begins."""
    return [sink for sink in sinks if (marker := markers.get(sink)) is None or marker.lineage != lineage]


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


def _another_topic(manifest: Manifest, source: str, before: Sequence[str], now: Sequence[str]) -> SourceDataLost:
    if len(before) == len(now) == 1:
        return SourceDataLost(
            f"the topic was recreated or replaced since the checkpoint of epoch {manifest.epoch}; the checkpoint's "
            "offsets mean nothing in it",
            job=manifest.job,
            topic=source,
            advice=_ANEW,
        )
    partition = next((i for i, (was, here) in enumerate(zip(before, now, strict=False)) if was != here), len(now))
    return SourceDataLost(
        f"this partition was another file at the checkpoint of epoch {manifest.epoch}: files were moved, "
        "removed, or added before it",
        job=manifest.job,
        topic=source,
        partition=partition,
        advice=f"Restore the files as they were; new ones must sort behind them. {_ANEW}",
    )


def _lost(manifest: Manifest, sink: SinkTask) -> MarkerLost:
    epoch = manifest.epoch
    return MarkerLost(
        f"the marker of this sink is lost, and it is unknown whether epoch {epoch} was published",
        job=manifest.job,
        operator=sink.operator,
        partition=sink.partition,
        advice="Look at the end of the output topic, then start the job once with "
        f"--lost-marker skip@{epoch} (the epoch is there) or --lost-marker republish@{epoch} (it is not)",
    )
