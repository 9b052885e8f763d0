"""Writes and reads a worker's part of an epoch in the checkpoint store: the state segment and the staged output.

These are separate objects: deltas are needed until a base replaces them, staged output only until it is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rayflow.checkpoint.layout import SegmentObject, output_name, parse_name, segment_name
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.sealed import TaskSealed
from rayflow.checkpoint.segment import SegmentEncoder, SegmentReader
from rayflow.checkpoint.store import CheckpointStore
from rayflow.checkpoint.superseded import starting_from
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Attempt, Epoch, SinkTask, TaskId, WorkerId
from rayflow.engine.events import SegmentWritten
from rayflow.engine.orders import RepublishOutput, StartTasks
from rayflow.engine.regrouping import TaskProgress, progress_for
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.ports import Together, one_by_one
from rayflow.state.base import Delta

_NO_DELTA = Delta([], [])


class SegmentWriter:
    """`add` every part, which encodes it at once on the caller's thread. Then `write`, which may run on another
    thread."""

    def __init__(self, epoch: Epoch, attempt: Attempt, worker: WorkerId) -> None:
        self._epoch = epoch
        self._segment_name = segment_name(epoch, attempt, worker)
        self._output_name = output_name(epoch, attempt, worker)
        self._segment = SegmentEncoder()
        self._output: SegmentEncoder | None = None
        self._deltas: dict[TaskId, int] = {}

    def add(self, part: TaskSealed) -> None:
        """Encode one task's part."""
        blobs = self._segment.add(replace(part, staged={}))
        self._deltas[part.task] = blobs.delta.length if blobs.delta.count else 0
        if part.staged:
            self._output = self._output or SegmentEncoder()
            self._output.add(replace(part, delta=_NO_DELTA))

    def write(self, store: CheckpointStore) -> SegmentWritten:
        """Make both objects durable. The output comes first, because the segment is acknowledged only together with
        it."""
        size = 0
        if self._output is not None:
            staged = self._output.finish()
            store.put(self._output_name, staged)
            size += sum(map(len, staged))
        segment = self._segment.finish()
        store.put(self._segment_name, segment)
        size += sum(map(len, segment))
        output = None if self._output is None else self._output_name
        return SegmentWritten(self._epoch, self._segment_name, output, size, self._deltas)


def read_staged(
    store: CheckpointStore, manifest: Manifest, sinks: Sequence[SinkTask], together: Together = one_by_one
) -> dict[SinkTask, list[EncodedBatch]]:
    """The output that `sinks` staged for the manifest's epoch; an entry for each, empty if there was none.

    Raises DamagedObject, ObjectMissing.
    """
    outputs: dict[SinkTask, list[EncodedBatch]] = {sink: [] for sink in sinks}
    for reader in _opened(store, manifest.outputs, together):
        for task in reader.tasks:
            for operator, batches in reader.staged(task).items():
                sink = SinkTask(operator, task.partition)
                if sink in outputs:
                    outputs[sink] = batches
    return outputs


def read_progress(
    store: CheckpointStore, manifest: Manifest, together: Together = one_by_one
) -> dict[TaskId, dict[str, object]]:
    """The progress of every task at the end of the manifest's epoch. Raises DamagedObject, ObjectMissing."""
    progress: dict[TaskId, dict[str, object]] = {}
    for reader in _opened(store, manifest.segments[max(manifest.segments)], together):
        for task in reader.tasks:
            progress[task] = reader.progress(task)
    return progress


def starting_progress(
    store: CheckpointStore, plan: JobPlan, order: StartTasks, together: Together = one_by_one
) -> TaskProgress:
    """Each task's initial progress; empty without a checkpoint. Raises DamagedObject, ObjectMissing, Fenced."""
    if order.manifest is None:
        return {}
    with starting_from(store, order.manifest.epoch):
        progress = read_progress(store, order.manifest, together)
    return progress_for(plan, order.topology.stages, order.manifest, progress)


def staged_by(
    store: CheckpointStore, plan: JobPlan, order: RepublishOutput, together: Together = one_by_one
) -> dict[WorkerId, list[SinkTask]]:
    """The sinks of a `RepublishOutput`, by the slot that has to publish them.

    The slot that staged a sink task's output: a publisher of that slot which has lost the answer to its commit may
    yet take its slot back to see whether it must publish again. Under the same slot one of the two fences the other;
    under different ones both would publish. Raises DamagedObject, ObjectMissing, Fenced.
    """
    manifest = order.manifest
    slots: dict[TaskId, WorkerId] = {}
    with starting_from(store, manifest.epoch):
        readers = _opened(store, manifest.segments[manifest.epoch], together)
    for reader in readers:
        kind = parse_name(reader.name)
        assert isinstance(kind, SegmentObject)
        slots.update(dict.fromkeys(reader.tasks, kind.worker))
    stages = {sink.operator: stage.id for stage in plan.stages for sink in stage.sinks}
    found: dict[WorkerId, list[SinkTask]] = {}
    for sink in order.sinks:
        found.setdefault(slots[TaskId(stages[sink.operator], sink.partition)], []).append(sink)
    return found


def positions_of(progress: TaskProgress) -> dict[tuple[str, int], int]:
    """The position of every source partition, from the tasks' progress."""
    return {
        (source, task.partition): position
        for task, part in progress.items()
        for source, position in part["positions"].items()
    }


def _opened(store: CheckpointStore, names: Sequence[str], together: Together) -> list[SegmentReader]:
    """The segments of many workers, in order. Opening each takes two requests."""
    return together([partial(SegmentReader, store, name) for name in names])
