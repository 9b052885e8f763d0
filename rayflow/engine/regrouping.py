"""Finds state and progress of a checkpoint by operator, in a job whose stages have changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import PartitionsChanged
from rayflow.core.ids import WATERMARK_MIN, TaskId
from rayflow.plan.physical import JobPlan, StagePlan

TaskProgress = Mapping[TaskId, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class StageOrigin:
    """The place of a stage's state in a checkpoint.

    Attributes:
        held: the checkpoint's stage of each state that it has with the current kind and shape; empty if all states are
            new. A state with another kind or shape is dropped.
        whole: whether this is one stage with exactly these states, so that its rows can be used unchanged.
        states: kind and shape of each of the stage's states, by name ("operator/name").
    """

    held: Mapping[str, str]
    whole: bool
    states: Mapping[str, tuple[str, str]]

    @property
    def stages(self) -> tuple[str, ...]:
        """The checkpoint's stages that contain some of the state."""
        return tuple(sorted(set(self.held.values())))

    @property
    def layout(self) -> str:
        """Short hash of the states. A local store with another layout does not belong to this stage, whatever its stamp
        says."""
        return f"{crc32(repr(sorted(self.states.items())).encode()):08x}"


def states_of(stage: StagePlan) -> dict[str, tuple[str, str]]:
    """Kind and shape of each of a stage's states, by name ("operator/name")."""
    return {
        f"{operator.id}/{spec.name}": (spec.kind, spec.shape)
        for operator in stage.operators
        for spec in operator.states
    }


def origin_of(stage: StagePlan, manifest: Manifest | None) -> StageOrigin:
    """Where `manifest` contains the state of `stage`. A state with another kind or shape now is dropped, so it has no
    place."""
    states = states_of(stage)
    entries = {} if manifest is None else manifest.states
    held = {
        name: entries[name].stage
        for name, kind in states.items()
        if name in entries and (entries[name].kind, entries[name].shape) == kind
    }
    beside = {name for name, entry in entries.items() if entry.stage in held.values()}
    whole = len(set(held.values())) == 1 and held.keys() == states.keys() == beside
    return StageOrigin(held, whole, states)


def continued_tasks(plan: JobPlan, stages: Mapping[str, int], manifest: Manifest | None) -> set[TaskId]:
    """The tasks whose rows are in the checkpoint under their own name, without rows of other tasks.

    What the checkpoint has under the name of any other task belongs to another stage, or is dropped.
    """
    return {
        TaskId(stage.id, p)
        for stage in plan.stages
        for origin in [origin_of(stage, manifest)]
        if manifest is not None and origin.whole and origin.stages == (stage.id,)
        for p in range(min(stages[stage.id], manifest.stages[stage.id]))
    }


def regrouped_tasks(plan: JobPlan, stages: Mapping[str, int], manifest: Manifest | None) -> list[TaskId]:
    """The tasks with state that resume from a checkpoint but are not continued. They need a base before their next
    epoch ends, because a later restore would look for their rows under their own name."""
    if manifest is None:
        return []
    continued = continued_tasks(plan, stages, manifest)
    tasks = [TaskId(stage.id, p) for stage in plan.stages if states_of(stage) for p in range(stages[stage.id])]
    return [task for task in tasks if task not in continued]


def earlier_partitions(plan: JobPlan, manifest: Manifest) -> dict[str, int]:
    """The number of partitions that each stage's state has in the checkpoint. A stage without state may have any
    number.

    Raises PartitionsChanged if a stage would combine states with different numbers of partitions.
    """
    found: dict[str, int] = {}
    for stage in plan.stages:
        counts = {manifest.stages[origin] for origin in origin_of(stage, manifest).stages}
        if len(counts) > 1:
            raise PartitionsChanged(
                f"stage {stage.id} would combine states that have {sorted(counts)} partitions",
                job=plan.name,
                advice="Put a key_by() between them, so that they stay in separate stages",
            )
        if counts:
            found[stage.id] = counts.pop()
    return found


def progress_for(plan: JobPlan, stages: Mapping[str, int], manifest: Manifest, old: TaskProgress) -> TaskProgress:
    """The progress from which each task of the new plan starts: by source, by stream operator, and by where its state
    was."""
    positions = {(s, t.partition): v for t, part in old.items() for s, v in part["positions"].items()}
    newest = {(o, t.partition): v for t, part in old.items() for o, v in part["newest"].items()}
    entries = {(e, t.partition): v for t, part in old.items() for e, v in part.get("entries", {}).items()}
    passed = {(o, t.partition): v for t, part in old.items() for o, v in part.get("passed", {}).items()}
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
                "passed": {o.id: passed[o.id, p] for o in stage.operators if (o.id, p) in passed},
                "entries": {e: entries[e, p] for e in (*streams, *stage.inputs) if (e, p) in entries},
            }
    return progress
