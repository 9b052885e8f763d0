"""A worker's process: does what the worker asks for, each action a step of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

from rayflow.checkpoint.base import encode_base_part, split_rows
from rayflow.checkpoint.layout import base_part_name
from rayflow.connectors.base import Polled, Publisher, Reader
from rayflow.core.errors import BrokerUnavailable
from rayflow.core.ids import Marker, TaskId, TopicPartition, WorkerId
from rayflow.engine.actions import (
    AckEpoch,
    AppendOutput,
    ApplyEpoch,
    HoldSources,
    PublishEpoch,
    ReleaseSources,
    ReportDone,
    RequestBarrier,
    SendToWorker,
    WorkerAction,
    WriteSegment,
)
from rayflow.engine.events import (
    BarrierContinued,
    BarrierInjected,
    BarrierRequested,
    BaseWritten,
    ChannelEvent,
    ClockAdvanced,
    EpochApplied,
    EpochCommitted,
    EpochDone,
    EpochPublished,
    MarkersSet,
    RecordsPolled,
    WorkerEvent,
)
from rayflow.engine.orders import SetMarkers, WriteBase
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.local.hosting import Hosting
from rayflow.runtimes.segments import SegmentWriter, positions_of, read_progress, read_staged, starting_progress
from rayflow.runtimes.simulated.messages import (
    Busy,
    Exhausted,
    Fence,
    Frame,
    MarkersRead,
    ReadMarkers,
    Republish,
    Republished,
    SlotFenced,
    Start,
    Started,
)
from rayflow.runtimes.simulated.process import Process, RecordedStore, put_all
from rayflow.runtimes.simulated.surroundings import MILLISECOND, Surroundings

CLOCK_EVERY = 100 * MILLISECOND
BASE_PART = 400
"""Bytes of rows in one part of a base: so small that small states have several."""


class WorkerProcess(Process):
    """One slot of one attempt."""

    def __init__(
        self, world: Surroundings, incarnation: int, slot: WorkerId, plan: JobPlan, memory_limit: int, max_poll: int
    ) -> None:
        super().__init__(world, incarnation, f"worker {slot}")
        self.slot = slot
        self.worker: Worker | None = None
        self._plan = plan
        self._max_poll = max_poll
        self._publishers: dict[WorkerId, Publisher] = {}
        self._reader: Reader | None = None
        self._owners: dict[TopicPartition, tuple[TaskId, str]] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._early: deque[Frame] = deque()
        self._lineage = ""
        self._held = False
        self._last = False
        self._told_exhausted = False
        self._told_busy = 0
        self._hosting = Hosting(
            plan, self.checkpoints, partial(world.state, self), clock=world.clock, memory_limit=memory_limit
        )

    def validate(self) -> None:
        if self.worker is not None:
            self.worker.validate()

    def receive(self, body: Any) -> None:
        match body:
            case Fence(slot):
                self._fence(slot)
            case ReadMarkers():
                self._read_markers(body)
            case Republish():
                self._republish(body)
            case SetMarkers(marker, sinks):
                steps = self._publishers[self.slot].publish(marker, dict.fromkeys(sinks, ()), {})
                self._iterate(steps, lambda: self._tell(MarkersSet()), "mark")
            case Start():
                self._start(body)
            case Frame(events):
                if self.worker is None:
                    self._early.append(body)
                else:
                    self._work(*events)
            case BarrierInjected():
                self._last = body.drain
                self._work(body)
                self._seal_rest()
            case EpochCommitted():
                self._work(body)
            case WriteBase():
                self._write_base(body)

    # Recovery

    def _fence(self, slot: WorkerId) -> None:
        publisher = self._publishers.setdefault(slot, self.world.publisher(self, slot))
        try:
            publisher.open(())
        except BrokerUnavailable:
            self.later(self._a_while(), "fence again", lambda: self._fence(slot))
        else:
            self._tell(SlotFenced(slot))

    def _read_markers(self, request: ReadMarkers) -> None:
        publisher = self._publishers.get(self.slot) or self.world.publisher(self, self.slot)
        try:
            markers = publisher.markers(request.sinks)
        except BrokerUnavailable:
            self.later(self._a_while(), "read markers again", lambda: self._read_markers(request))
        else:
            self._tell(MarkersRead(markers))

    def _republish(self, request: Republish) -> None:
        manifest = request.manifest
        outputs = read_staged(self.checkpoints, manifest, request.sinks)
        self._place(manifest.source_partitions)
        positions = self._shown(positions_of(read_progress(self.checkpoints, manifest)))
        steps = self._publishers[request.slot].publish(Marker(manifest.lineage, manifest.epoch), outputs, positions)
        self._iterate(steps, lambda: self._tell(Republished(request.slot)), "republish")

    def _start(self, start: Start) -> None:
        order = start.order
        self._lineage = order.lineage
        self.worker = self._hosting.start(order, self.slot, start.placement)
        progress = starting_progress(self.checkpoints, self._plan, order)
        positions = positions_of(progress)
        self._place(order.topology.sources)
        mine = {
            partition: positions.get((source, task.partition))
            for partition, (task, source) in self._owners.items()
            if task in self.worker.tasks
        }
        self._reader = self.world.reader()
        self._reader.assign(mine)
        self._positions = {partition: position or 0 for partition, position in mine.items()}
        self.changed = True
        self._do(self.worker.start(progress))
        self.act("started", self._started)

    def _started(self) -> None:
        self._tell(Started(self.slot))
        while self._early:
            self.act("early Frame", partial(self._work, *self._early.popleft().events))
        self._poll()
        self._look_at_clock()

    def _place(self, partitions: Any) -> None:
        for stage in self._plan.stages:
            for source in stage.sources:
                for p in range(partitions[source.id]):
                    self._owners[TopicPartition(source.topic.name, p)] = (TaskId(stage.id, p), source.id)

    def _shown(self, positions: dict[tuple[str, int], int]) -> dict[TopicPartition, int]:
        return {
            partition: positions[source, task.partition]
            for partition, (task, source) in self._owners.items()
            if (source, task.partition) in positions
        }

    # Running

    def _poll(self) -> None:
        """Fetching goes on beside the steps; only what it brings is a step."""
        assert self._reader is not None
        polled = [] if self._held or self._last or not self.alive else self._reader.poll(self._max_poll, 0.0)
        if polled:
            self.arrive("poll", lambda: self._take(polled))
        elif self.alive:
            self._poll_later()

    def _poll_later(self) -> None:
        self.world.after(self.world.random.randrange(1, 40) * MILLISECOND, self._poll)

    def _take(self, found: list[Polled]) -> None:
        self._poll_later()
        if self._last:  # what is read behind the last barrier belongs to nobody
            return
        for polled in found:
            partition = TopicPartition(*polled.batch.origin)
            task, source = self._owners[partition]
            self._positions[partition] = polled.next_position
            self._work(RecordsPolled(task, source, polled.batch, polled.next_position))

    def _look_at_clock(self) -> None:
        assert self.worker is not None
        self.later(CLOCK_EVERY, "clock", self._look_at_clock)
        self._work(ClockAdvanced(self.world.clock()))
        epoch = max((task.epoch for task in self.worker.tasks.values()), default=0)
        if self.worker.busy and epoch > self._told_busy:
            self._told_busy = epoch
            self._tell(Busy(epoch))
        ends = self.world.ends(self)
        if ends is not None and not self._told_exhausted:
            self._told_exhausted = all(at >= ends[partition] for partition, at in self._positions.items())
            if self._told_exhausted:
                self._tell(Exhausted(self.slot))

    def _work(self, *events: WorkerEvent) -> None:
        assert self.worker is not None
        self.changed = True
        for event in events:
            self._do(self.worker.handle(event))

    def _do(self, actions: list[WorkerAction]) -> None:
        """What goes to one worker goes together, up to the next thing to do; or, at times, apart."""
        frames: dict[WorkerId, list[ChannelEvent]] = {}
        apart = bool(actions) and self.world.random.random() < 0.2
        for action in actions:
            if isinstance(action, SendToWorker):
                frames.setdefault(action.worker, []).append(action.event)
            if apart or not isinstance(action, SendToWorker):
                self._send(frames)
            if not isinstance(action, SendToWorker):
                self.act(type(action).__name__, partial(self._one, action))
        self._send(frames)

    def _send(self, frames: dict[WorkerId, list[ChannelEvent]]) -> None:
        for worker, events in frames.items():
            self.act("send Frame", partial(self.post, worker, Frame(tuple(events))))
        frames.clear()

    def _one(self, action: WorkerAction) -> None:
        match action:
            case AppendOutput():
                self._publishers[self.slot].append(action.batches)
            case WriteSegment() if self._plan.delivery == "at_least_once":
                self._iterate(self._publishers[self.slot].flush(), lambda: self._write_segment(action), "flush")
            case WriteSegment():
                self._write_segment(action)
            case AckEpoch(ack):
                self._tell(ack)
            case PublishEpoch():
                marker = Marker(self._lineage, action.epoch)
                steps = self._publishers[self.slot].publish(marker, action.outputs, self._shown(dict(action.positions)))
                self._iterate(steps, lambda: self._work(EpochPublished(action.epoch)), "publish")
            case ApplyEpoch():
                for task in action.tasks:
                    self.act("apply one task", partial(self._apply, task, action.epoch))
                self.act("EpochApplied", lambda: self._work(EpochApplied(action.epoch)))
            case ReportDone(epoch):
                self._tell(EpochDone(self.slot, epoch))
            case RequestBarrier():
                self._tell(BarrierRequested(self.slot))
            case HoldSources():
                self._held = True
            case ReleaseSources():
                self._held = False

    def _seal_rest(self) -> None:
        assert self.worker is not None
        if self.worker.sealing:
            self.act("BarrierContinued", lambda: self._work(BarrierContinued()))
            self.act("seal the rest", self._seal_rest)

    def _write_segment(self, action: WriteSegment) -> None:
        writer = SegmentWriter(action.epoch, self.attempt, self.slot)
        for part in action.parts:
            writer.add(part)
        recorded = RecordedStore(self.checkpoints)
        written = writer.write(recorded)
        put_all(self, recorded.puts, lambda: self._work(written), "SegmentWritten")

    def _apply(self, task: TaskId, epoch: int) -> None:
        assert self.worker is not None
        self.worker.tasks[task].complete(self._hosting.stamp(task, self._lineage, epoch))

    def _write_base(self, order: WriteBase) -> None:
        # The rows are fixed here, before anything else can apply another epoch.
        puts = []
        for part, rows in enumerate(split_rows(self._hosting.store(order.task).rows(), BASE_PART)):
            puts.append((base_part_name(order.task, order.epoch, self.attempt, part), encode_base_part(rows)))
        size = sum(len(buffer) for _, buffers in puts for buffer in buffers)
        written = BaseWritten(order.task, order.epoch, tuple(name for name, _ in puts), size)
        put_all(self, puts, lambda: self._tell(written), "BaseWritten")

    def _iterate(self, steps: Iterator[str], then: Any, what: str) -> None:
        step = next(steps, None)
        if step is None:
            self.act(f"{what} done", then)
            return
        again = partial(self._iterate, steps, then, what)
        longest = {"committing": 5 * MILLISECOND, "waiting": 100 * MILLISECOND}.get(step, MILLISECOND // 2)
        self.later(self.world.random.randrange(50, longest), f"{what} {step}", again)

    def _a_while(self) -> int:
        return self.world.random.randrange(10, 100) * MILLISECOND

    def _tell(self, body: object) -> None:
        self.post(None, body)
