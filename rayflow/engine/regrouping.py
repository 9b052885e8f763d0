"""Finding state and progress of a checkpoint again in a job whose stages have changed: by operator, not by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import PartitionsChanged
from rayflow.core.ids import WATERMARK_MIN, TaskId
from rayflow.plan.physical import JobPlan, StagePlan

Progress = Mapping[TaskId, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class StageOrigin:
    """Where a stage's state lies in a checkpoint.

    Attributes:
        stages: the checkpoint's stages that hold some of it; none when it is new or keeps no state.
        whole: whether that is one stage with exactly these states, so that its rows can be taken as they are.
        states: the names ("operator/name") of the stage's states. taken: those that the checkpoint holds as they are
            now; what it holds as another kind or shape is given up.
        layout: short hash of the states: a local store of another layout is not this stage's, whatever its stamp says.
    """

    stages: tuple[str, ...]
    whole: bool
    states: frozenset[str]
    taken: frozenset[str]
    layout: str


def origin_of(stage: StagePlan, manifest: Manifest | None) -> StageOrigin:
    """Where the state of `stage` lies in `manifest`."""
    states = {f"{operator.id}/{spec.name}": spec for operator in stage.operators for spec in operator.states}
    entries = {} if manifest is None else manifest.states
    taken = frozenset(
        name
        for name, spec in states.items()
        if name in entries and (entries[name].kind, entries[name].shape) == (spec.kind, spec.shape)
    )
    stages = tuple(sorted({entries[name].stage for name in taken}))
    there = {name for name, entry in entries.items() if stages and entry.stage == stages[0]}
    whole = len(stages) == 1 and there == taken == set(states)
    layout = chr(0).join(f"{name} {spec.kind} {spec.shape}" for name, spec in sorted(states.items()))
    return StageOrigin(stages, whole, frozenset(states), taken, f"{crc32(layout.encode()):08x}")


def earlier_partitions(plan: JobPlan, manifest: Manifest) -> dict[str, int]:
    """How many partitions each stage's state has in the checkpoint; a stage without state may have any number.

    Raises PartitionsChanged when a stage would unite states of different numbers of partitions.
    """
    found: dict[str, int] = {}
    for stage in plan.stages:
        counts = {manifest.stages[origin] for origin in origin_of(stage, manifest).stages}
        if len(counts) > 1:
            raise PartitionsChanged(
                f"stage {stage.id} unites states that were kept over {sorted(counts)} partitions",
                job=plan.name,
                advice="Put a key_by() between them, so that they stay in stages of their own",
            )
        if counts:
            found[stage.id] = counts.pop()
    return found


def progress_for(plan: JobPlan, stages: Mapping[str, int], manifest: Manifest, old: Progress) -> Progress:
    """The progress that each task of the new plan starts from: by source, stream operator, and where its state was."""
    positions = {(s, t.partition): v for t, part in old.items() for s, v in part["positions"].items()}
    newest = {(o, t.partition): v for t, part in old.items() for o, v in part["newest"].items()}
    progress: dict[TaskId, Mapping[str, Any]] = {}
    for stage in plan.stages:
        origin = origin_of(stage, manifest)
        streams = [id for source in stage.sources for id in source.into]
        for p in range(stages[stage.id]):
            marks = [old[task]["watermark"] for name in origin.stages if (task := TaskId(name, p)) in old]
            progress[TaskId(stage.id, p)] = {
                "positions": {s.id: positions[s.id, p] for s in stage.sources if (s.id, p) in positions},
                "newest": {id: newest[id, p] for id in streams if (id, p) in newest},
                "watermark": min(marks, default=WATERMARK_MIN),
            }
    return progress
