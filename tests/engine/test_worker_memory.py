"""Whether a worker's open epoch has changes, and when it holds its sources: memory of two epochs together."""

from __future__ import annotations

import rayflow as rf
from rayflow.core.batch import Batch, Origin
from rayflow.core.ids import TaskId
from rayflow.engine.actions import HoldSources, ReleaseSources, ReportDone, RequestBarrier, WorkerAction
from rayflow.engine.events import (
    BarrierInjected,
    EpochApplied,
    EpochCommitted,
    EpochPublished,
    RecordsPolled,
    SegmentWritten,
)
from rayflow.engine.task import Task
from rayflow.engine.topology import resolve
from rayflow.engine.worker import Worker
from rayflow.plan.compile import plan_of
from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState

LIMIT = 100_000


class Copying:
    """A worker with the one task of a job without state, which stages what it reads."""

    def __init__(self, sink: bool = True, limit: int = LIMIT) -> None:
        job = rf.Job("job")
        stream = job.stream("in", value=bytes)
        if sink:
            stream.to("out")
        else:
            stream.filter(lambda value: False).to("out")
        plan = plan_of(job)
        (stage,) = plan.stages
        (self.source,) = stage.sources
        topology = resolve(plan, {self.source.id: 1})
        self.task = TaskId(stage.id, 0)
        store = MemoryStore()
        store.replace((), Stamp("lineage", 0))
        task = Task(plan, topology, self.task, TaskState(store, Codec()), lambda: 0, 1)
        self.worker = Worker(0, plan, topology, {self.task: task}, {self.task: 0}, codec=Codec(), memory_limit=limit)
        self.worker.start({})
        self._position = 0

    def read(self, size: int) -> list[WorkerAction]:
        """Read a record of so many bytes."""
        batch = Batch(Origin("in", 0), [None], [bytes(size)], [1], range(self._position, self._position + 1))
        self._position += 1
        actions = self.worker.handle(RecordsPolled(self.task, self.source.id, batch, self._position))
        self.worker.validate()
        return actions

    def barrier(self, epoch: int) -> None:
        self.worker.handle(BarrierInjected(epoch))
        self.worker.validate()

    def finish(self, epoch: int) -> list[WorkerAction]:
        """See an epoch to its end; what was done at the end."""
        self.worker.handle(SegmentWritten(epoch, "name", None, 10, {}))
        self.worker.handle(EpochCommitted(epoch))
        for _ in self.worker.tasks[self.task].completing(Stamp("lineage", epoch)):
            pass
        self.worker.handle(EpochApplied(epoch))
        return self.worker.handle(EpochPublished(epoch))


def test_records_alone_are_a_change_until_the_next_epoch() -> None:
    """Without state and without output there is nothing else to see: its positions have moved all the same."""
    copying = Copying(sink=False)
    assert not copying.worker.changed
    copying.read(10)
    assert copying.worker.changed
    copying.barrier(1)
    assert not copying.worker.changed
    copying.read(10)  # belongs to the next epoch, which is due when this one is done
    copying.finish(1)
    assert copying.worker.changed


def test_what_an_epoch_on_its_way_holds_counts_until_it_is_done() -> None:
    copying = Copying()
    assert copying.read(LIMIT * 6 // 10) == [RequestBarrier()]
    copying.barrier(1)
    assert copying.read(LIMIT // 10) == []
    assert copying.read(LIMIT * 4 // 10) == [HoldSources()]  # neither epoch alone is past the limit
    assert copying.read(10) == []  # told once
    # What came meanwhile is past half of the limit.
    assert copying.finish(1) == [ReportDone(1), ReleaseSources(), RequestBarrier()]


def test_sources_stay_held_while_the_open_epoch_alone_is_past_the_limit() -> None:
    copying = Copying()
    copying.read(LIMIT * 6 // 10)
    copying.barrier(1)
    assert copying.read(LIMIT * 11 // 10) == [HoldSources()]
    assert copying.finish(1) == [ReportDone(1), RequestBarrier()]
    copying.barrier(2)
    assert copying.finish(2) == [ReportDone(2), ReleaseSources()]
