"""Determines the watermark that decided on each record when its stage took it: whether it is late."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rayflow.core.hashing import Partitioner
from rayflow.core.ids import TaskId, TopicPartition
from rayflow.plan.physical import JobPlan, StagePlan
from rayflow.serde.keys import encode_canonical
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.jobs import KEYS, InputRecord, Shape
from rayflow.testing.simulation.timeline import Checkpoint, Timeline


@dataclass(frozen=True, slots=True)
class Limited:
    """A record, and the limits (ms) of the watermark that decided on it. A window that is over by `least` was closed
    for it; a window that is not over by `most` was open."""

    record: InputRecord
    least: int
    most: int


class Lateness:
    """Derives the limits of records from the checkpoints before and after them.

    The watermark of a task for a record is at least its watermark at the start of the record's epoch, and at most its
    watermark at the end of the epoch. If the record's partition was active the whole time, the watermark has not
    advanced in the epoch beyond that partition's own watermark, which limits everything on the record's way.
    """

    def __init__(self, plan: JobPlan, shape: Shape, feeder: Feeder, timeline: Timeline) -> None:
        self._plan = plan
        self._shape = shape
        self._feeder = feeder
        self._timeline = timeline
        self._above = _stages_above(plan)

    def of(self, branch: str) -> list[Limited]:
        """Every record of the input that has reached a branch, with its limits there."""
        return list(self._limits(branch))

    def task(self, operator: str, record: InputRecord, place: TopicPartition, stages: Mapping[str, int]) -> TaskId:
        """The place where an operator takes a record, with these numbers of partitions per stage."""
        stage = self._stage(operator)
        if not stage.inputs:
            return TaskId(stage.id, place.partition)
        partitioner = Partitioner(stages[stage.id], encode_canonical)
        return TaskId(stage.id, partitioner[getattr(record, KEYS[self._shape.stages - 1])])

    def _limits(self, branch: str) -> Iterator[Limited]:
        checkpoints = self._timeline.checkpoints
        topics = self._shape.topics_of(branch)
        for place, entries in zip(self._feeder.places, self._feeder.entries, strict=True):
            if place.topic not in topics:
                continue
            ends = [checkpoint.positions.get(place, 0) for checkpoint in checkpoints]
            for position, record in enumerate(entries[: ends[-1]]):
                if record is not None:
                    checkpoint = checkpoints[bisect_right(ends, position)]
                    yield self._limited(branch, record, place, checkpoint)

    def _limited(self, branch: str, record: InputRecord, place: TopicPartition, checkpoint: Checkpoint) -> Limited:
        met = self._feeder.met[record.id]
        task = self.task(branch, record, place, checkpoint.stages)
        span = checkpoint.spans[task]
        reader = self._reader(place)
        most = span.end
        if place.topic not in checkpoint.maybe_idle[reader]:
            passed = {task, reader, *self._passed(task.stage, checkpoint)}
            most = min(most, max(met, *(checkpoint.spans[one].begin for one in passed)))
        return Limited(record, max(met, span.begin), max(met, most))

    def _passed(self, stage: str, checkpoint: Checkpoint) -> Iterator[TaskId]:
        """The tasks between sources and a stage through which records may pass."""
        for above in self._above[stage]:
            for p in range(checkpoint.stages[above]):
                yield TaskId(above, p)

    def _reader(self, place: TopicPartition) -> TaskId:
        stage = next(one for one in self._plan.stages if any(source.id == place.topic for source in one.sources))
        return TaskId(stage.id, place.partition)

    def _stage(self, operator: str) -> StagePlan:
        return next(stage for stage in self._plan.stages if any(one.id == operator for one in stage.operators))


def _stages_above(plan: JobPlan) -> dict[str, set[str]]:
    """For each stage, the stages after exchanges that feed it, directly or indirectly."""
    above: dict[str, set[str]] = {}
    for stage in plan.stages:
        feeding = {exchange.upstream for exchange in plan.exchanges if exchange.id in stage.inputs}
        above[stage.id] = set().union(*(above[one] for one in feeding))
        above[stage.id] |= {one.id for one in plan.stages if one.id in feeding and one.inputs}
    return above
