"""A job's workers without their work: they answer the coordinator as real ones do, and process nothing.

What is left is the coordinator's own cost: its state machine, manifests, placement, retention, and messages.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rayflow as rf
from benchmarks.counted_store import CountedStore
from rayflow.checkpoint.bases import BaseRef
from rayflow.checkpoint.layout import base_part_name, segment_name
from rayflow.checkpoint.manifest import Manifest, write_manifest
from rayflow.checkpoint.sealed import TaskSealed
from rayflow.connectors.base import NO_TOPICS, Publisher, Reader, Sink, Source
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Attempt, Epoch, Marker, SinkTask, TaskId, WorkerId
from rayflow.core.topics import ConnectorSpec, TopicRef
from rayflow.engine.entries import sink_entries, state_entries
from rayflow.engine.events import (
    BarrierInjected,
    BaseWritten,
    EpochCommitted,
    EpochDone,
    MarkersSet,
    SegmentAcked,
    SegmentWritten,
    Tick,
)
from rayflow.engine.orders import SetMarkers, WriteBase
from rayflow.engine.placement import place
from rayflow.engine.topology import Topology, resolve
from rayflow.plan.compile import plan_of
from rayflow.plan.fingerprint import fingerprint
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.messages import (
    Fence,
    MarkersRead,
    ReadMarkers,
    Republish,
    Republished,
    Settle,
    Settled,
    SlotFenced,
    Start,
    Started,
)
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.segments import SegmentWriter
from rayflow.runtimes.machine.background import Thread
from rayflow.runtimes.machine.calls import LoopCalls
from rayflow.state.base import Delta

INTERVAL = 1_000
LINEAGE = "a" * 32


def counting_job() -> JobPlan:
    """Two stages with an exchange between them: keyed values of state, and a sink."""
    job = rf.Job("scale")
    job.stream("in", value=str).key_by(lambda word: word).count(name="counts").to("out", name="out")
    return plan_of(job)


class HollowConnectors:
    """One broker with the job's topics, of so many partitions each, and nothing in them."""

    def __init__(self, partitions: int) -> None:
        self._topics = HollowTopics(partitions)

    def spec(self, topic: TopicRef) -> ConnectorSpec:
        return ConnectorSpec("hollow:")

    def of(self, topic: TopicRef) -> Any:
        return self._topics

    def open(self, spec: ConnectorSpec) -> Any:
        return self._topics


@dataclass(frozen=True)
class HollowTopics(Source, Sink):
    """What the coordinator asks of a connector."""

    count: int
    url = "hollow:"

    def check(self, timeout: float = 5.0) -> str:
        return "nothing"

    def reader(self, group: str) -> Reader:
        raise NotImplementedError  # no worker runs

    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        raise NotImplementedError  # no worker runs

    def partitions(self, topic: str) -> int:
        return self.count

    def identity(self, topic: str) -> str:
        return f"hollow#{topic}"


class Traffic:
    """What went between the coordinator and its workers: messages and pickled bytes, and the CPU of pickling."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.bytes_sent = 0
        self.bytes_received = 0
        self.pickling = 0.0
        self._last: tuple[object, int, float] = (None, 0, 0.0)

    def to_worker(self, message: object) -> None:
        """Count a message from the coordinator. Each worker's copy is pickled by itself: one is measured."""
        if message is not self._last[0]:
            began = time.process_time()
            size = len(pickle.dumps(message, 5))
            self._last = message, size, time.process_time() - began
        self.sent[type(message).__name__] += 1
        self.bytes_sent += self._last[1]
        self.pickling += self._last[2]

    def to_coordinator(self, message: object) -> None:
        """Count a message from a worker."""
        data = pickle.dumps(message, 5)
        self.received[type(message).__name__] += 1
        self.bytes_received += len(data)
        began = time.process_time()
        pickle.loads(data)
        self.pickling += time.process_time() - began


class HollowCluster:
    """The real coordinator of one attempt after the other, over workers that only answer.

    Attributes:
        cpu: seconds of CPU that the coordinator has used, its store's thread included; pickling is in `traffic`.
        placement: where the tasks of the attempt are. markers: of each sink task, as Kafka would hold it.
    """

    def __init__(self, partitions: int, store: CountedStore, changed: int = 64) -> None:
        """`partitions` of the source, so of each of two stages. `changed`: bytes of a task's delta in an epoch."""
        self.plan = counting_job()
        self.store = store
        self.traffic = Traffic()
        self.cpu = 0.0
        self.placement: dict[TaskId, WorkerId] = {}
        self.markers: dict[SinkTask, Marker] = {}
        self.manifests: list[Manifest] = []
        self.bases_written = 0
        self._sources = {"in": partitions}
        self.stateful = {stage.id for stage in self.plan.stages for operator in stage.operators if operator.states}
        self._sinks = {stage.id: sink.operator for stage in self.plan.stages for sink in stage.sinks}
        self._readers = {stage.id: [source.id for source in stage.sources] for stage in self.plan.stages}
        self._changed = changed
        self._now = 0
        self._hosted: CoordinatorDriver | None = None
        self._outgoing: list[tuple[WorkerId, object]] = []
        self._hosts: dict[WorkerId, list[TaskId]] = {}
        self._lost: WorkerId | None = None
        self._lines: list[Thread] = []

    def topology(self) -> Topology:
        """Partitions of everything."""
        return resolve(self.plan, self._sources)

    def begin(self, workers: int) -> None:
        """One attempt until its tasks run."""
        self._lines = []
        ports = Ports(
            lambda: self._now,
            time.monotonic,
            self._line,
            LoopCalls,
            self.store,
            HollowConnectors(self._sources["in"]),
        )
        hosted = self._hosted = CoordinatorDriver(
            self.plan,
            RunOptions(checkpoint_interval=INTERVAL, retain=3),
            ports,
            tuple(range(workers)),
            lineage=LINEAGE,
            send=lambda slot, message: self._outgoing.append((slot, message)),
            earlier=self.placement,
            on_commit=self.manifests.append,
        )
        self._spend(hosted.start)
        self._answer()
        assert hosted.started
        self.placement = hosted.placement
        self._hosts = {slot: [] for slot in hosted.workers}
        for task, slot in self.placement.items():
            self._hosts[slot].append(task)

    def epoch(self, lost: WorkerId | None = None) -> None:
        """One epoch from its barrier to its end. The worker `lost` dies once it is committed."""
        hosted = self._attempt()
        self._now += INTERVAL
        self._lost = lost
        before = hosted.coordinator.epoch
        self._spend(lambda: hosted.tell(Tick(self._now, True)))
        self._answer()
        assert hosted.coordinator.epoch == before + 1

    def end(self) -> None:
        """Let go of the attempt."""
        self._attempt().close()
        self._hosted = None

    def _line(self) -> Thread:
        self._lines.append(Thread())
        return self._lines[-1]

    def _attempt(self) -> CoordinatorDriver:
        assert self._hosted is not None
        return self._hosted

    def _spend(self, call: Callable[[], None]) -> None:
        """Have the coordinator do something, to the end of what it does in the background."""
        began = time.process_time()
        call()
        for line in (*self._lines, *self._lines):  # what one has done may have given another something to do
            while line.waiting:
                line.wait(60.0)
                line.collect()
        self.cpu += time.process_time() - began

    def _answer(self) -> None:
        """Until nobody has anything to say."""
        while self._outgoing:
            sent, self._outgoing = self._outgoing, []
            answers = []
            for slot, message in sent:
                self.traffic.to_worker(message)
                answers += self._answers(slot, message)
            for answer in answers:
                self.traffic.to_coordinator(answer)
            self._spend(lambda answers=answers: self._receive(answers))  # type: ignore[misc]

    def _receive(self, messages: Sequence[object]) -> None:
        hosted = self._attempt()
        for message in messages:
            hosted.receive(hosted.coordinator.attempt, message)

    def _answers(self, slot: WorkerId, message: object) -> list[object]:
        coordinator = self._attempt().coordinator
        match message:
            case Fence():
                return [SlotFenced(message.slot, {})]
            case ReadMarkers(sinks):
                return [MarkersRead({sink: self.markers.get(sink) for sink in sinks})]
            case SetMarkers(marker, sinks):
                self.markers.update(dict.fromkeys(sinks, marker))
                return [MarkersSet()]
            case Republish():
                self.markers.update(dict.fromkeys(message.sinks, Marker(LINEAGE, message.epoch)))
                return [Republished(message.slot)]
            case Start():
                return [Started(slot, {})]
            case BarrierInjected(epoch):
                return [self._sealed(slot, epoch)]
            case EpochCommitted() if slot == self._lost:
                return []
            case EpochCommitted(epoch):
                mine = [
                    SinkTask(self._sinks[t.stage], t.partition) for t in self._hosts[slot] if t.stage in self._sinks
                ]
                self.markers.update(dict.fromkeys(mine, Marker(coordinator.lineage, epoch)))
                return [EpochDone(slot, epoch)]
            case WriteBase(task, epoch):
                self.bases_written += 1
                name = base_part_name(task, epoch, coordinator.attempt, 0)
                self.store.put(name, [b""])
                return [BaseWritten(task, epoch, (name,), self._changed)]
            case Settle():
                return [Settled(slot)]
        raise AssertionError(f"nothing answers {type(message).__name__}")

    def _sealed(self, slot: WorkerId, epoch: Epoch) -> SegmentAcked:
        written = self.write_segment(slot, epoch, self._attempt().coordinator.attempt, self._hosts[slot])
        return SegmentAcked(slot, epoch, written.name, written.output, written.size, written.delta_bytes)

    def write_segment(self, slot: WorkerId, epoch: Epoch, attempt: Attempt, tasks: Sequence[TaskId]) -> SegmentWritten:
        """A worker's part of an epoch: a change of state, a record of output and a position wherever there can be."""
        delta = Delta([b"k" * 8], [b"v" * (self._changed - 8)])
        output = [EncodedBatch("out", [b"k"], [b"1"], [0], None, None)]
        parts = [
            TaskSealed(
                task,
                delta if task.stage in self.stateful else Delta([], []),
                {self._sinks[task.stage]: output} if task.stage in self._sinks else {},
                {"positions": dict.fromkeys(self._readers.get(task.stage, ()), epoch), "newest": {}, "watermark": 0},
            )
            for task in tasks
        ]
        writer = SegmentWriter(epoch, attempt, slot)
        for part in parts:
            writer.add(part)
        return writer.write(self.store)


def run_before(cluster: HollowCluster, workers: int, chain: int) -> None:
    """A checkpoint as a job has it that has run for long: `chain` epochs of segments, and bases spread over them."""
    if not chain:
        return
    topology = cluster.topology()
    epochs = range(1, chain + 1)
    segments = {epoch: tuple(segment_name(epoch, 1, slot) for slot in range(workers)) for epoch in epochs}
    bases = _bases(cluster, topology, chain)
    manifest = Manifest(
        job=cluster.plan.name,
        lineage=LINEAGE,
        epoch=chain,
        attempt=1,
        created=0,
        plan=fingerprint(cluster.plan),
        states=state_entries(cluster.plan),
        stages=topology.stages,
        source_partitions=topology.sources,
        workers=tuple(range(workers)),
        delivery=cluster.plan.delivery,
        segments=segments,
        bases=bases,
        published=chain - 1,
        bytes=0,
        sinks=sink_entries(cluster.plan, topology),
    )
    cluster.store.fill(manifest.objects())
    hosts: dict[WorkerId, list[TaskId]] = {slot: [] for slot in range(workers)}
    for task, slot in place(topology.tasks(), range(workers)).items():
        hosts[slot].append(task)
    for slot, tasks in hosts.items():
        cluster.write_segment(slot, chain, 1, tasks)
    write_manifest(cluster.store, manifest)
    marker = Marker(LINEAGE, chain)
    cluster.markers.update(dict.fromkeys(topology.sink_tasks(cluster.plan), marker))


def _bases(cluster: HollowCluster, topology: Topology, chain: int) -> Mapping[TaskId, BaseRef]:
    bases = {}
    for number, task in enumerate(task for task in topology.tasks() if task.stage in cluster.stateful):
        epoch = chain - number % chain
        bases[task] = BaseRef(epoch, (base_part_name(task, epoch, 1, 0),), 64)
    return bases
