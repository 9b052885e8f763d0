"""Workers that host some of a job's tasks, driven by hand."""

from __future__ import annotations

from typing import Any

import pytest

import rayflow as rf
from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.manifest import Manifest, SinkEntry
from rayflow.core.batch import Batch, Origin
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Marker, SinkTask, TaskId
from rayflow.engine.actions import AckEpoch, ApplyEpoch, PublishEpoch, ReportDone, SendToWorker, WriteSegment
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.events import (
    AttemptClaimed,
    BarrierContinued,
    BarrierInjected,
    BarrierReceived,
    EpochApplied,
    EpochCommitted,
    EpochPublished,
    ManifestRead,
    PublishersOpened,
    RecordsPolled,
    SegmentWritten,
)
from rayflow.engine.task import Task
from rayflow.engine.topology import resolve
from rayflow.engine.worker import Worker
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan
from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState


def three_stages() -> JobPlan:
    job = rf.Job("job")
    words = job.stream("words", value=str)
    lengths = words.key_by(lambda word: word).count(name="counts", emit="record").changes()
    lengths.key_by(lambda count: count % 2).window(rf.tumbling(seconds=1)).count(name="windows").to("out", name="out")
    return plan_of(job)


def workers(plan: JobPlan, split: bool, partitions: int = 1) -> list[Worker]:
    """Two workers, the first with the first stage and the other with the others, or one with all."""
    topology = resolve(plan, {source.id: partitions for stage in plan.stages for source in stage.sources})
    first = plan.stages[0].id
    placement = {task: int(split and task.stage != first) for task in topology.tasks()}
    made = []
    for slot in sorted(set(placement.values())):
        tasks = {}
        for id, at in placement.items():
            if at == slot:
                store = MemoryStore()
                store.replace((), Stamp("lineage", 0))
                tasks[id] = Task(plan, topology, id, TaskState(store, Codec()), lambda: 0, 1)
        made.append(Worker(slot, plan, topology, tasks, placement, codec=Codec(), memory_limit=1 << 30))
    return made


def test_a_barrier_through_an_exchange_may_be_faster_than_the_coordinators() -> None:
    ahead, behind = workers(three_stages(), split=True)
    ahead.start({})
    behind.start({})
    sent = [action for action in ahead.handle(BarrierInjected(1)) if isinstance(action, SendToWorker)]
    (sealed,) = [action for action in sent if isinstance(action.event, BarrierReceived)]
    assert any(isinstance(action, WriteSegment) for action in behind.handle(sealed.event))
    assert behind.handle(BarrierInjected(1)) == []
    behind.validate()


def test_tasks_take_the_coordinators_barrier_one_by_one_with_records_in_between() -> None:
    plan = three_stages()
    (source,) = plan.stages[0].sources
    (worker,) = workers(plan, split=False, partitions=2)
    worker.start({})
    actions = worker.handle(BarrierInjected(1))
    worker.validate()
    assert worker.sealing
    first, second = (TaskId(plan.stages[0].id, partition) for partition in range(2))
    assert (worker.tasks[first].epoch, worker.tasks[second].epoch) == (2, 1)
    for task in (first, second):
        batch = Batch(Origin("in", task.partition), [b"k"], [b"v"], [1], range(1))
        actions += worker.handle(RecordsPolled(task, source.id, batch, 1))
    assert not any(isinstance(action, WriteSegment) for action in actions)
    with pytest.raises(InvariantBroken):
        worker.handle(BarrierInjected(1))
    (written,) = [action for action in worker.handle(BarrierContinued()) if isinstance(action, WriteSegment)]
    worker.validate()
    assert not worker.sealing
    read = {part.task: part.progress["positions"] for part in written.parts}
    assert (read[first], read[second]) == ({}, {source.id: 1})


def test_restored_tasks_are_all_open_before_one_hears_from_another() -> None:
    plan = three_stages()
    (worker,) = workers(plan, split=False)
    progress: dict[TaskId, dict[str, Any]] = {
        task: {"positions": {}, "newest": {}, "watermark": 5000} for task in worker.tasks
    }
    worker.start(progress)
    worker.validate()
    assert {task.time.watermark for task in worker.tasks.values()} == {5000}


def manifest(**fields: Any) -> Manifest:
    given: dict[str, Any] = {
        "job": "job",
        "lineage": "lineage",
        "epoch": 1,
        "attempt": 1,
        "created": 0,
        "plan": "",
        "states": {},
        "stages": {},
        "source_partitions": {},
        "workers": (0,),
        "delivery": "exactly_once",
        "segments": {1: ()},
        "bases": {},
        "published": 0,
        "bytes": 0,
        "sinks": {"out": SinkEntry(1)},
    }
    return Manifest(**{**given, **fields})


def test_a_coordinator_that_recovers_holds_its_invariants_at_every_step() -> None:
    plan = three_stages()
    sources = {plan.stages[0].sources[0].id: 1}
    coordinator = Coordinator(plan, CoordinatorOptions("new", 1000))
    found = manifest(epoch=7, published=6, stages={stage.id: 1 for stage in plan.stages}, segments={7: ()})
    coordinator.start()
    for event in (
        AttemptClaimed(Claim(2, (0,), "new")),
        ManifestRead(found, sources),
        PublishersOpened({SinkTask("out", 0): Marker("lineage", 7)}),
        ManifestRead(found, sources),
    ):
        coordinator.handle(event)
        coordinator.validate()
    assert coordinator.epoch == 7


def test_a_worker_without_tasks_sees_its_epochs_through() -> None:
    plan = three_stages()
    topology = resolve(plan, {source.id: 1 for stage in plan.stages for source in stage.sources})
    idle = Worker(1, plan, topology, {}, dict.fromkeys(topology.tasks(), 0), codec=Codec(), memory_limit=1 << 30)
    assert idle.start({}) == []
    for epoch in (1, 2):
        assert idle.handle(BarrierInjected(epoch)) == [WriteSegment(epoch, ())]
        (ack,) = idle.handle(SegmentWritten(epoch, "name", None, 10, {}))
        assert isinstance(ack, AckEpoch)
        assert idle.handle(EpochCommitted(epoch)) == [PublishEpoch(epoch, {}, {}), ApplyEpoch(epoch, ())]
        assert idle.handle(EpochApplied(epoch)) == []
        assert idle.handle(EpochPublished(epoch)) == [ReportDone(epoch)]
        idle.validate()
