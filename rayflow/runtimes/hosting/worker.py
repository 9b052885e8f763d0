"""The driver of one slot's worker in one attempt: carries its actions out, and reports to the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from rayflow.checkpoint import bases
from rayflow.checkpoint.bases import encode_base_part, split_rows
from rayflow.checkpoint.layout import base_part_name
from rayflow.checkpoint.manifest import read_manifest
from rayflow.checkpoint.superseded import starting_from
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Attempt, Epoch, Marker, TaskId, WorkerId
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
    StartCalls,
    WorkerAction,
    WriteSegment,
)
from rayflow.engine.events import (
    BarrierContinued,
    BarrierInjected,
    BarrierRequested,
    BaseWritten,
    ClockAdvanced,
    EpochApplied,
    EpochCommitted,
    EpochDone,
    EpochPublished,
    SegmentWritten,
    WorkerEvent,
)
from rayflow.engine.orders import SetMarkers, WriteBase
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.plan.systems import with_sink_serdes
from rayflow.runtimes.hosting import steps
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.messages import (
    Busy,
    Exhausted,
    Fence,
    MarkersRead,
    QueryRows,
    ReadMarkers,
    Republish,
    Settle,
    Settled,
    Start,
    Started,
)
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.publishers import Publishers
from rayflow.runtimes.hosting.reading import read_rows
from rayflow.runtimes.hosting.segments import SegmentWriter, positions_of
from rayflow.runtimes.hosting.sinks import accepting_serdes
from rayflow.runtimes.hosting.sources import Sources
from rayflow.runtimes.hosting.tasks import HostedTasks
from rayflow.state.base import Rows, Store

CLOCK_EVERY = 50
"""Wall-clock time between two looks at timers and idle sources, in ms."""

LONG_TURN = 0.1
SHORT_TURN = 0.01
"""Seconds that the records of a turn may take: without and with an epoch in flight.
SHORT_TURN is also how long applying an epoch may run before it yields to records."""

_DONE = object()


class WorkerDriver:
    """Runs on one thread: `receive` what the coordinator says, `work` on what other workers send, `step` in between.

    Attributes:
        worker: None until its tasks are started. sources: what it reads.
    """

    def __init__(
        self,
        plan: JobPlan,
        options: RunOptions,
        ports: Ports,
        open_state: Callable[[TaskId], Store],
        slot: WorkerId,
        attempt: Attempt,
        *,
        tell: Callable[[object], None],
        send: Callable[[SendToWorker], None],
        on_epoch: Callable[[EpochTimes], None] = lambda times: None,
    ) -> None:
        """The worker of a slot in one attempt, without tasks yet.

        Args:
            open_state: opens the local store of a task.
            tell: takes what is for the coordinator. send: takes what is for tasks of other workers.
            on_epoch: is told of each epoch that is done.
        """
        self.slot = slot
        self.attempt = attempt
        self.sources = Sources(plan, ports)
        self.worker: Worker | None = None
        self._plan = plan
        self._options = options
        self._ports = ports
        self._tasks = HostedTasks(
            with_sink_serdes(plan, accepting_serdes(ports.connectors)),
            ports.checkpoints,
            open_state,
            clock=ports.clock,
            memory_limit=options.memory_limit,
        )
        self._publishers = Publishers(plan, ports, slot, self.sources, tell)
        self._store = ports.checkpoints
        self._tell = tell
        self._send = send
        self._on_step = ports.on_step
        self._on_epoch = on_epoch
        self._monotonic = ports.monotonic
        self._background = ports.background()
        self._calls = ports.calls()
        self._slices: list[Generator[None, None, None]] = []
        self._times = EpochTimes(0, 0.0)
        self._lineage = ""
        self._held = False
        self._last = False
        self._told_exhausted = False
        self._told_busy: Epoch = 0
        self._next_clock = 0
        self._cost = 0.0

    def receive(self, message: Any) -> None:
        """Take what the coordinator says. Raises what any of its consequences raises."""
        match message:
            case Fence():
                self._publishers.fence(message)
            case ReadMarkers(sinks):
                self._tell(MarkersRead(self._publishers.look(sinks)))
            case SetMarkers():
                self._slices.append(self._publishers.set_markers(message))
            case Settle():
                self._publishers.settle()
                self._tell(Settled(self.slot))
            case Republish():
                self._slices.append(self._publishers.republish(message))
            case Start():
                self._start(message)
            case WriteBase():
                # The rows are fixed here, before anything else can apply another epoch.
                self._slices.append(self._write_base(message, self._tasks.store(message.task).rows()))
            case QueryRows():
                assert self.worker is not None
                self._begin(read_rows(message, self.slot, self.worker, self._tell))
            case EpochCommitted():
                self._times.committed = self._monotonic()
                self.work(message)
            case BarrierInjected():
                self._times = EpochTimes(message.epoch, self._monotonic())
                self._last = self._last or message.last
                self._begin(self._seal(message))
            case _:
                self.work(message)

    def step(self) -> bool:
        """One turn of the work in hand, without records. True if something came of it."""
        worked = self._background.collect() | self._publishers.step()
        for done in self._calls.done():
            worked = True
            self.work(done)
        for work in list(self._slices):
            if next(work, _DONE) is _DONE:
                self._slices.remove(work)
        now = self._ports.clock()
        if self.worker is not None and (now >= self._next_clock or now < self._next_clock - CLOCK_EVERY):
            self._next_clock = now + CLOCK_EVERY
            self.work(ClockAdvanced(now, self.sources.listened))
            self._tell_busy(self.worker)
        return worked

    def _tell_busy(self, worker: Worker) -> None:
        epoch = max((task.epoch for task in worker.tasks.values()), default=0)
        if worker.changed and epoch > self._told_busy:  # once an epoch: on a cluster a message costs a millisecond
            self._told_busy = epoch
            self._tell(Busy(epoch))

    def waiting(self, without_credit: Collection[TaskId] = ()) -> Collection[TaskId]:
        """The tasks that must take no records of sources now: those that may send nothing, or have enough calls out,
        and what feeds them here."""
        if self.worker is None:
            return ()
        saturated = self.worker.saturated
        return self.worker.waiting({*without_credit, *saturated}) if without_credit or saturated else ()

    def held(self, without_credit: Collection[TaskId] = ()) -> Collection[TaskId]:
        """The tasks that must take nothing of other workers now: those of `waiting`, but for tasks that calls alone
        hold and that a barrier is on its way to. It must not wait for calls behind the records before it."""
        if self.worker is None:
            return ()
        saturated = self.worker.saturated
        if saturated:
            saturated -= self.worker.owing
        return self.worker.waiting({*without_credit, *saturated}) if without_credit or saturated else ()

    def poll(self, timeout: float, waiting: Collection[TaskId] = ()) -> bool:
        """Read records, unless memory is short, or a task of `waiting` reads a source. True if any came."""
        if not self.reads or self.worker is None or any(self.worker.tasks[id].reads_sources for id in waiting):
            return False
        events = self.sources.poll(self._room(), timeout)
        began = self._monotonic()
        for event in events:
            self.work(event)
        if records := sum(len(event.batch) for event in events):
            self._cost += ((self._monotonic() - began) / records - self._cost) / 4
        if self._options.until_end and not self._told_exhausted and self.sources.exhausted:
            self._told_exhausted = True
            self._tell(Exhausted(self.slot))
        return bool(events)

    def _room(self) -> int:
        """How many records to take at once: short turns while an epoch is in flight, which advances once a turn."""
        most = self._options.max_poll_records
        return most if self._cost * most <= self.turn else max(1, int(self.turn / self._cost))

    @property
    def turn(self) -> float:
        """Seconds that records of a turn may take: few while an epoch is in flight."""
        return SHORT_TURN if self.writing else LONG_TURN

    def wait(self, timeout: float) -> None:
        """Nothing to read: let the background have the processor, up to `timeout` seconds."""
        self._background.wait(timeout)

    @property
    def reads(self) -> bool:
        """Whether records are to be read now: not before the start, nor after the last barrier, nor short of memory."""
        return self.worker is not None and not self._held and not self._last

    @property
    def holds(self) -> bool:
        """Whether memory is short and no source may be read."""
        return self._held

    @property
    def writing(self) -> bool:
        """Whether something is being written or published."""
        return bool(self._slices) or self._background.waiting > 0

    @property
    def outage(self) -> str | None:
        """Why the worker waits, while a system is out of reach."""
        return self._publishers.outage or self.sources.outage

    def work(self, event: WorkerEvent) -> None:
        """Have the worker take an event, and do what it asks for."""
        if self.worker is None:
            raise InvariantBroken(f"worker {self.slot} was told of {type(event).__name__} before it was started")
        self._do(self.worker.handle(event))

    def close(self) -> None:
        """Let go of everything; unfinished work is dropped."""
        for work in self._slices:
            work.close()
        self._slices.clear()
        self._background.close()
        self._calls.close()
        self.sources.close()
        self._publishers.close()
        self._tasks.close()

    def _start(self, start: Start) -> None:
        order = start.order
        if start.checkpoint is not None:
            with starting_from(self._store, start.checkpoint):
                order = replace(order, manifest=read_manifest(self._store, start.checkpoint))
        self._lineage = order.lineage
        self._publishers.let_go_of_others()
        self.worker = worker = self._tasks.start(order, self.slot, start.placement)
        self.sources.place(order.topology.sources)
        self.sources.start(positions_of(start.progress), worker.tasks, start.systems)
        ends = self.sources.fix_ends(start.ends, timeout=30.0) if self._options.until_end else {}
        self._do(worker.start(start.progress))
        self._tell(Started(self.slot, ends))

    def _do(self, actions: list[WorkerAction]) -> None:
        for action in actions:
            if isinstance(action, SendToWorker):
                self._send(action)
                continue
            self._on_step(steps.before(type(action)))
            match action:
                case WriteSegment():
                    self._begin(self._write_segment(action))
                case AckEpoch(ack):
                    self._tell(ack)
                case PublishEpoch():
                    self._slices.append(self._publish(action))
                case ApplyEpoch():
                    self._begin(self._apply(action))
                case ReportDone(epoch):
                    times, self._times = self._times, EpochTimes(0, 0.0)  # which lets go of the output
                    times.done = self._monotonic()
                    self._on_epoch(times)
                    self._tell(EpochDone(self.slot, epoch))
                case AppendOutput(sink, batches):
                    self._publishers.own.append(sink, batches)
                case StartCalls(task, operator, calls):
                    self._calls.start(task, operator, calls)
                case RequestBarrier():
                    self._tell(BarrierRequested(self.slot))
                case HoldSources():
                    self._held = True
                    self.sources.hold()
                case ReleaseSources():
                    self._held = False
                    self.sources.release()
            self._on_step(steps.after(type(action)))

    def _begin(self, slices: Generator[None, None, None]) -> None:
        """Do the first slice now, the others one in each turn."""
        if next(slices, _DONE) is not _DONE:
            self._slices.append(slices)

    def _seal(self, barrier: BarrierInjected) -> Generator[None, None, None]:
        began = self._monotonic()
        self.work(barrier)
        while self.worker is not None and self.worker.sealing:
            if self._monotonic() - began > SHORT_TURN:
                yield
                began = self._monotonic()
            self.work(BarrierContinued())

    def _write_segment(self, action: WriteSegment) -> Generator[None, None, None]:
        if self._plan.delivery == "at_least_once":
            for step in self._publishers.own.flush():
                self._on_step(steps.flush(step))
                yield
        writer = SegmentWriter(action.epoch, self.attempt, self.slot)
        began = self._monotonic()
        for part in action.parts:
            if self._monotonic() - began > SHORT_TURN:
                yield
                began = self._monotonic()
            writer.add(part)
        self._background.call(partial(writer.write, self._store), self._on_segment)

    def _on_segment(self, written: SegmentWritten) -> None:
        self._on_step(steps.SEGMENT_WRITTEN)
        self._times.size = written.size
        self.work(written)

    def _publish(self, action: PublishEpoch) -> Generator[None, None, None]:
        marker = Marker(self._lineage, action.epoch)
        for step in self._publishers.publish(marker, action.outputs, action.positions):
            self._on_step(steps.publish(step))
            yield
        self._times.published = self._monotonic()
        self._times.outputs = action.outputs
        self._on_step(steps.PUBLISHED)
        self.work(EpochPublished(action.epoch))

    def _apply(self, action: ApplyEpoch) -> Generator[None, None, None]:
        assert self.worker is not None
        began = self._monotonic()
        for task in action.tasks:
            for _ in self.worker.tasks[task].completing(self._tasks.stamp(task, self._lineage, action.epoch)):
                if self._monotonic() - began > SHORT_TURN:
                    yield
                    began = self._monotonic()
            self._on_step(steps.APPLIED_ONE_TASK)
        self.work(EpochApplied(action.epoch))

    def _write_base(self, order: WriteBase, runs: Iterator[Rows]) -> Generator[None, None, None]:
        names: list[str] = []
        size = 0
        for part, rows in enumerate(split_rows(runs, bases.PART_BYTES)):
            name = base_part_name(order.task, order.epoch, self.attempt, part)
            buffers = encode_base_part(rows)
            names.append(name)
            size += sum(map(len, buffers))
            done: list[None] = []
            self._background.call(partial(self._store.put, name, buffers), done.append)
            while not done:
                yield
        self._on_step(steps.BASE_WRITTEN)
        self._tell(BaseWritten(order.task, order.epoch, tuple(names), size))
