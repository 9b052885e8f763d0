"""Event time from checkpoint to checkpoint: the limits of each task's watermark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.ids import WATERMARK_MIN, Epoch, TaskId
from rayflow.operators.registry import build
from rayflow.plan.physical import JobPlan, StagePlan
from rayflow.runtimes.hosting.segments import positions_of
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.idleness import AttemptKey, Idle, Idleness
from rayflow.testing.simulation.jobs import Shape


@dataclass(frozen=True, slots=True)
class Span:
    """A task's watermark during one epoch, in ms.

    Attributes:
        begin: at its start.
        end: at its end, without what the end of a bounded run adds.
        sent: the watermark that the tasks after it must have received by then.
        maybe_idle: whether they may have received, at some time of the epoch, that it is idle.
        surely_idle: whether they had received that before, and nothing since.
    """

    begin: int
    end: int
    sent: int
    maybe_idle: bool
    surely_idle: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The event time of one epoch.

    Attributes:
        attempt, lineage, epoch: its identity.
        stages: the number of partitions of each.
        positions: at its end, by source and partition.
        watermarks: of each task, from the checkpoint.
        spans: of each task.
        maybe_idle: the sources that a task may have considered idle at some time of the epoch.
    """

    attempt: AttemptKey = ("", 0)
    lineage: str = ""
    epoch: Epoch = 0
    stages: Mapping[str, int] = field(default_factory=dict)
    positions: Mapping[tuple[str, int], int] = field(default_factory=dict)
    watermarks: Mapping[TaskId, int] = field(default_factory=dict)
    spans: Mapping[TaskId, Span] = field(default_factory=dict)
    maybe_idle: Idle = field(default_factory=dict)


class Timeline:
    """Takes one checkpoint after the other, and checks its watermarks.

    At a barrier a task has received exactly what each of its inputs had sent by then. So its watermark is at least the
    lowest of its inputs', without those that were idle the whole time. It is at most the lowest of those that were
    never idle during the epoch, unless it was higher before. The watermark of a source partition follows from its
    records.

    Attributes:
        checkpoints: of the job's current history, oldest first; before them one of an empty job.
    """

    def __init__(self, plan: JobPlan, shape: Shape, feeder: Feeder, idleness: Idleness) -> None:
        self.checkpoints = [Checkpoint()]
        self._plan = plan
        self._shape = shape
        self._feeder = feeder
        self._idleness = idleness
        self._left: set[str] = set()
        # An operator that holds event time back decides itself how far, so only the upper limits apply.
        self._held_back = any(build(operator).holds for stage in plan.stages for operator in stage.operators)

    @property
    def last(self) -> Checkpoint:
        """The newest checkpoint."""
        return self.checkpoints[-1]

    def knows(self, manifest: Manifest) -> bool:
        """Whether a checkpoint was taken already, or belongs to a lineage that was left."""
        known = manifest.lineage == self.last.lineage and manifest.epoch <= self.last.epoch
        return known or manifest.lineage in self._left

    def add(
        self, uri: str, manifest: Manifest, progress: Mapping[TaskId, Mapping[str, Any]], surely_idle: Idle
    ) -> None:
        """Take the next checkpoint, of the store `uri`. Raises AssertionError for a watermark outside of its limits."""
        before = self.last
        now = Checkpoint(
            (uri, manifest.attempt),
            manifest.lineage,
            manifest.epoch,
            manifest.stages,
            positions_of(progress),
            {task: part["watermark"] for task, part in progress.items()},
        )
        if before.lineage not in ("", now.lineage):
            assert now.positions == before.positions, "a savepoint has other positions than the job had"
            assert now.watermarks == before.watermarks, "a savepoint has other watermarks than the job had"
            self._left.add(before.lineage)
            self.checkpoints.append(replace(now, spans=before.spans))
            return
        assert now.epoch == before.epoch + 1, f"epoch {now.epoch} follows epoch {before.epoch}"
        maybe_idle = {task: self._idleness.possible(now.attempt, task, now.epoch) for task in progress}
        self.checkpoints.append(
            replace(now, spans=self._spans(now, manifest, maybe_idle, surely_idle), maybe_idle=maybe_idle)
        )

    def _spans(self, now: Checkpoint, manifest: Manifest, maybe_idle: Idle, surely_idle: Idle) -> dict[TaskId, Span]:
        spans: dict[TaskId, Span] = {}
        stateful = {entry.stage for entry in manifest.states.values()}
        drained = self._drained(now)
        for stage in self._plan.stages:  # stages that feed a stage come before it
            for p in range(now.stages[stage.id]):
                task = TaskId(stage.id, p)
                # The checkpoint has event time for a stage without state only if the stage has several entries.
                goes_on = now.attempt == self.last.attempt or stage.id in stateful or _entries(stage) > 1
                begin = self.last.watermarks.get(task, WATERMARK_MIN) if goes_on else WATERMARK_MIN
                inputs = self._sources(now, manifest, stage, p, maybe_idle[task], surely_idle.get(task, set()))
                inputs += self._channels(now, stage, spans)
                holding = [span.sent for span in inputs if not span.surely_idle]
                active = [span.end for span in inputs if not span.maybe_idle]
                least = max(begin, min(holding, default=WATERMARK_MIN))
                most = max(begin, min(active) if active else max(span.end for span in inputs))
                if _entries(stage) > 1:  # each entry keeps what it has sent, even if another one starts over
                    most = max([most, *(span.end for span in inputs)])
                found = now.watermarks[task]
                self._judge(f"{task} in epoch {now.epoch}", found, least, most, drained)
                spans[task] = Span(
                    begin,
                    # An exchange may be fed by one of several entries, which may be ahead of the task.
                    min(found, most) if _entries(stage) == 1 else max([found, *(span.end for span in inputs)]),
                    least if drained else found,
                    all(span.maybe_idle for span in inputs),
                    all(span.surely_idle for span in inputs),
                )
        return spans

    def _sources(
        self, now: Checkpoint, manifest: Manifest, stage: StagePlan, p: int, maybe_idle: set[str], surely_idle: set[str]
    ) -> list[Span]:
        """The watermarks of the source partitions that a task reads."""
        places = [(source.id, p) for source in stage.sources if p < manifest.source_partitions[source.id]]
        moved = any(now.positions.get(place) != self.last.positions.get(place) for place in places)
        same_attempt = now.attempt == self.last.attempt
        looked = moved or same_attempt
        spans: list[Span] = []
        for place in places:
            mark = self._feeder.watermark(place, now.positions.get(place, 0))
            sent = mark if looked else WATERMARK_MIN  # a task takes over its sources' event time in its first look
            unmoved = now.positions.get(place) == self.last.positions.get(place)
            silent = same_attempt and unmoved and place[0] in surely_idle
            spans.append(Span(mark, mark, sent, place[0] in maybe_idle, silent))
        return spans

    def _channels(self, now: Checkpoint, stage: StagePlan, spans: Mapping[TaskId, Span]) -> list[Span]:
        """The watermarks of the tasks that feed a stage."""
        feeding = [exchange.upstream for exchange in self._plan.exchanges if exchange.id in stage.inputs]
        return [spans[TaskId(upstream, p)] for upstream in feeding for p in range(now.stages[upstream])]

    def _judge(self, what: str, found: int, least: int, most: int, drained: bool) -> None:
        assert self._held_back or found >= least, (
            f"the watermark of {what} is {found}, but its inputs have come to {least}"
        )
        if drained:  # everything has fired, whatever it waited for
            newest = max(times[-1] for times in self._feeder.newest if times)
            most = max(most, newest + max(self._shape.window + self._shape.grace, self._shape.timer))
        assert found <= most, f"the watermark of {what} is {found}, ahead of its inputs, which have come to {most}"

    def _drained(self, now: Checkpoint) -> bool:
        """Whether everything is read, so that the epoch may be the last one of a bounded run."""
        ends = {place: len(entries) for place, entries in zip(self._feeder.places, self._feeder.entries, strict=True)}
        return self._feeder.done and all(now.positions.get(place, 0) == end for place, end in ends.items())


def _entries(stage: StagePlan) -> int:
    """The number of streams and exchanges through which event time enters a stage."""
    return len(stage.inputs) + sum(len(source.into) for source in stage.sources)
