"""A worker: the tasks of one process, the channels between them, and their common part of each epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rayflow.checkpoint.sealed import TaskSealed
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import ChannelId, Epoch, SinkTask, TaskId, WorkerId
from rayflow.engine.actions import (
    AckEpoch,
    AppendOutput,
    ApplyEpoch,
    EpochSealed,
    PublishEpoch,
    ReportDone,
    SendBarrier,
    SendBatch,
    SendIdle,
    SendToWorker,
    SendWatermark,
    StartCalls,
    TaskAction,
    WorkerAction,
    WriteSegment,
)
from rayflow.engine.events import (
    BarrierContinued,
    BarrierInjected,
    BarrierReceived,
    BatchReceived,
    CallsDone,
    ChannelEvent,
    ClockAdvanced,
    EpochApplied,
    EpochCommitted,
    EpochPublished,
    IdleReceived,
    RecordsPolled,
    SegmentAcked,
    SegmentWritten,
    WatermarkReceived,
    WorkerEvent,
)
from rayflow.engine.exchange import through_codec
from rayflow.engine.task import Task, barrier_for
from rayflow.engine.topology import Topology
from rayflow.engine.worker_memory import WorkerMemory
from rayflow.plan.physical import JobPlan
from rayflow.serde.codec import Codec

CHECKED_BATCHES = 3
"""The number of batches of each exchange that go through the codec although they stay in the process."""


@dataclass(slots=True)
class EpochInFlight:
    """An epoch from its first sealed task to its end."""

    parts: list[TaskSealed] = field(default_factory=list)
    bytes: int = 0
    applied: bool = False
    published: bool = False
    committed: bool = False


class Worker:
    """Hosts tasks: routes events between them, combines their sealed parts into one segment, and completes each epoch.

    `handle(event)` returns what the runtime has to do, in order. At most one epoch is in flight at a time.
    """

    def __init__(
        self,
        id: WorkerId,
        plan: JobPlan,
        topology: Topology,
        tasks: Mapping[TaskId, Task],
        placement: Mapping[TaskId, WorkerId],
        *,
        codec: Codec,
        memory_limit: int,
    ) -> None:
        """`memory_limit` in bytes, for the open epoch and the one in flight together. Above it the sources are held. At
        half of it a barrier is requested, so that one epoch fills while the other one is published."""
        self.id = id
        self.tasks = dict(tasks)
        self.changed = False
        self._plan = plan
        self._topology = topology
        self._placement = placement
        self._codec = codec
        self._downstream = {exchange.id: exchange.downstream for exchange in plan.exchanges}
        self._unchecked = {exchange.id: CHECKED_BATCHES for exchange in plan.exchanges}
        self._queue: deque[tuple[Task, ChannelEvent]] = deque()
        self._actions: list[WorkerAction] = []
        self._unsealed: deque[tuple[Task, BarrierInjected]] = deque()
        self._epoch: Epoch | None = None
        self._in_flight = EpochInFlight()
        self._memory = WorkerMemory(self.tasks, memory_limit)
        self._calling = [task for task in self.tasks.values() if task.makes_calls]

    def start(self, progress: Mapping[TaskId, Mapping[str, object]]) -> list[WorkerAction]:
        """Start every task from its part of the checkpoint."""
        # All are open before any of them receives: a restored task sends its watermark at once.
        for task, actions in [(task, task.start(progress.get(id))) for id, task in self.tasks.items()]:
            self._run(task, actions)
        return self._done()

    def handle(self, event: WorkerEvent) -> list[WorkerAction]:
        """Handle one event completely, through all tasks of this worker that it reaches."""
        match event:
            case RecordsPolled():
                self.changed = True
                task = self.tasks[event.task]
                self._run(task, task.on_records(event.source, event.batch, event.next_position))
            case BatchReceived() | WatermarkReceived() | IdleReceived() | BarrierReceived():
                self.changed = self.changed or isinstance(event, BatchReceived)
                self._enqueue(event)
            case CallsDone():
                self.changed = True
                self._run(self.tasks[event.task], self.tasks[event.task].on_calls(event))
            case ClockAdvanced():
                for task in self.tasks.values():
                    self._run(task, task.on_clock(event.now, event.listened))
                self.changed = self.changed or any(task.state.pending_rows for task in self.tasks.values())
            case BarrierInjected():
                self._inject(event)
            case BarrierContinued():
                self._continue()
            case SegmentWritten():
                self._expect(event.epoch)
                ack = SegmentAcked(self.id, event.epoch, event.name, event.output, event.size, event.delta_bytes)
                self._actions.append(AckEpoch(ack))
            case EpochCommitted():
                self._commit(event.epoch)
            case EpochApplied():
                self._expect(event.epoch)
                self._in_flight.applied = True
                self._memory.touched(self.tasks)  # the runtime has completed them
                self._finish(event.epoch)
            case EpochPublished():
                self._expect(event.epoch)
                self._in_flight.published = True
                self._finish(event.epoch)
        self._actions += self._memory.look(None if self._epoch is None else self._in_flight.bytes)
        return self._done()

    @property
    def sealing(self) -> bool:
        """Whether some tasks that read sources have not taken the coordinator's barrier yet. If so, give
        BarrierContinued."""
        return bool(self._unsealed)

    @property
    def sealed(self) -> bool:
        """Whether every task has sealed the epoch in flight, so that records read now cannot delay it."""
        return self._epoch is not None and len(self._in_flight.parts) == len(self.tasks)

    def waiting(self, full: Collection[TaskId]) -> set[TaskId]:
        """The tasks that must receive nothing while the tasks in `full` cannot send: these tasks, and those that feed
        them here."""
        found = set(full)
        stages = {task.stage for task in full}
        while stages:
            feeding = {ex.upstream for ex in self._plan.exchanges if ex.downstream in stages}
            found.update(id for id in self.tasks if id.stage in feeding)
            stages = feeding
        return found

    @property
    def saturated(self) -> set[TaskId]:
        """The tasks that have reached their limit of calls in flight. Pass them to `waiting` until some calls are
        done."""
        return {task.id for task in self._calling if task.full}

    @property
    def owing(self) -> set[TaskId]:
        """The tasks with calls that have not sealed the epoch in flight yet. They take the records that precede its
        barrier in their channels into their state, however many calls are in flight, so that the barrier passes."""
        return {task.id for task in self._calling if task.epoch == self._epoch}

    @property
    def pending_bytes(self) -> int:
        """Estimate of the memory that the open epoch uses."""
        return sum(task.pending_bytes for task in self.tasks.values())

    @property
    def staged_bytes(self) -> int:
        """Bytes of sealed values that wait to be published."""
        return sum(
            sum(map(len, filter(None, batch.values)))
            for part in self._in_flight.parts
            for batches in part.staged.values()
            for batch in batches
        )

    def _inject(self, event: BarrierInjected) -> None:
        if self._epoch is None:
            self._open_way(event.epoch)
        elif self._epoch != event.epoch or self.sealing:
            raise InvariantBroken(f"barrier {event.epoch} was injected while epoch {self._epoch} is in flight")
        self._unsealed.extend((task, event) for task in self.tasks.values() if task.reads_sources)
        self._continue()
        if not self.tasks:  # no barrier arrives through a channel: its part is empty, and the epoch waits for it
            self._actions.append(WriteSegment(event.epoch, ()))

    def _continue(self) -> None:
        if self._unsealed:
            task, event = self._unsealed.popleft()
            self._run(task, task.on_channel(barrier_for(task, event.epoch, event.drain)))

    def _open_way(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self.changed = False

    def _run(self, task: Task, actions: list[TaskAction]) -> None:
        """Carry out a task's actions, and everything that follows from them in this worker."""
        self._dispatch(task.id, actions)
        while self._queue:
            target, event = self._queue.popleft()
            self._dispatch(target.id, target.on_channel(event))

    def _dispatch(self, task: TaskId, actions: list[TaskAction]) -> None:
        self._memory.touched((task,))
        for action in actions:
            match action:
                case SendBatch(exchange, target, batch):
                    if self._unchecked[exchange]:
                        self._unchecked[exchange] -= 1
                        batch = through_codec(batch, self._codec, exchange)
                    self._send(BatchReceived(ChannelId(exchange, task.partition, target), batch))
                case SendWatermark(exchange, watermark):
                    for channel in self._channels(exchange, task.partition):
                        self._send(WatermarkReceived(channel, watermark))
                case SendIdle(exchange):
                    for channel in self._channels(exchange, task.partition):
                        self._send(IdleReceived(channel))
                case SendBarrier(exchange, epoch, drain):
                    for channel in self._channels(exchange, task.partition):
                        self._send(BarrierReceived(channel, epoch, drain))
                case EpochSealed():
                    self._gather(action)
                case AppendOutput() | StartCalls():
                    self._actions.append(action)

    def _channels(self, exchange: str, partition: int) -> list[ChannelId]:
        targets = self._topology.stages[self._downstream[exchange]]
        return [ChannelId(exchange, partition, target) for target in range(targets)]

    def _send(self, event: ChannelEvent) -> None:
        target = TaskId(self._downstream[event.channel.exchange], event.channel.target)
        local = self.tasks.get(target)
        if local is not None:
            self._queue.append((local, event))
        else:
            self._actions.append(SendToWorker(self._placement[target], target, event))

    def _enqueue(self, event: ChannelEvent) -> None:
        target = TaskId(self._downstream[event.channel.exchange], event.channel.target)
        self._run(self.tasks[target], self.tasks[target].on_channel(event))

    def _gather(self, action: EpochSealed) -> None:
        if self._epoch is None:  # a barrier may arrive through an exchange before the coordinator's own
            self._open_way(action.epoch)
        self._expect(action.epoch)
        self._in_flight.parts.append(action.sealed)
        self._in_flight.bytes += action.bytes
        if len(self._in_flight.parts) == len(self.tasks):
            self._actions.append(WriteSegment(action.epoch, tuple(self._in_flight.parts)))

    def _commit(self, epoch: Epoch) -> None:
        self._expect(epoch)
        in_flight = self._in_flight
        if len(in_flight.parts) != len(self.tasks):
            raise InvariantBroken(f"epoch {epoch} was committed before worker {self.id} had sealed it")
        in_flight.committed = True
        outputs: dict[SinkTask, tuple[EncodedBatch, ...]] = {}
        positions: dict[tuple[str, int], int] = {}
        for part in in_flight.parts:
            for sink in self._plan.stage(part.task.stage).sinks:
                staged = part.staged.get(sink.operator, ())
                outputs[SinkTask(sink.operator, part.task.partition)] = tuple(staged)
            for source, position in part.progress["positions"].items():
                positions[source, part.task.partition] = position
        self._actions.append(PublishEpoch(epoch, outputs, positions))
        self._actions.append(ApplyEpoch(epoch, tuple(self.tasks)))

    def _finish(self, epoch: Epoch) -> None:
        in_flight = self._in_flight
        if not in_flight.committed:
            raise InvariantBroken(f"epoch {epoch} was applied or published before it was committed")
        if in_flight.applied and in_flight.published:
            self._in_flight = EpochInFlight()
            self._epoch = None
            self._memory.epoch_ended()
            self._actions.append(ReportDone(epoch))

    def _expect(self, epoch: Epoch) -> None:
        if epoch != self._epoch:
            raise InvariantBroken(f"worker {self.id} received epoch {epoch} while {self._epoch} is in flight")

    def _done(self) -> list[WorkerAction]:
        actions, self._actions = self._actions, []
        return actions

    def validate(self) -> None:
        """Raises InvariantBroken for an invalid state. Tests call it after each step."""
        for task in self.tasks.values():
            task.validate()
        if self._queue:
            raise InvariantBroken(f"worker {self.id} left {len(self._queue)} events undelivered")
        self._memory.validate(self.id)
        sealed = [part.task for part in self._in_flight.parts]
        if len(sealed) != len(set(sealed)):
            raise InvariantBroken(f"worker {self.id} sealed a task twice in epoch {self._epoch}")
        if self._epoch is not None:
            for task in self.tasks.values():
                expected = self._epoch + 1 if task.id in sealed else self._epoch
                if task.epoch != expected:
                    raise InvariantBroken(f"task {task.id} is in epoch {task.epoch}, not {expected}")
