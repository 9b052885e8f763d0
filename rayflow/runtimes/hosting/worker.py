"""The driver of one slot's worker in one attempt: carries its actions out, and reports to the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from rayflow.checkpoint.manifest import read_manifest
from rayflow.checkpoint.superseded import starting_from
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Attempt, Epoch, TaskId, WorkerId
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
    BarrierInjected,
    BarrierRequested,
    ClockAdvanced,
    EpochCommitted,
    EpochDone,
    WorkerEvent,
)
from rayflow.engine.orders import SetMarkers, WriteBase
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.plan.systems import with_sink_serdes
from rayflow.runtimes.hosting import steps
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.epoch_work import EpochWork
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
from rayflow.runtimes.hosting.polling import Polling
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.publishers import Publishers
from rayflow.runtimes.hosting.reading import read_rows
from rayflow.runtimes.hosting.segments import positions_of
from rayflow.runtimes.hosting.sinks import accepting_serdes
from rayflow.runtimes.hosting.slices import SLICE, Slices
from rayflow.runtimes.hosting.sources import Sources
from rayflow.runtimes.hosting.tasks import HostedTasks
from rayflow.state.base import Store

CLOCK_EVERY = 50
"""Wall-clock time between two looks at timers and idle sources, in ms."""

LONG_TURN = 0.1
SHORT_TURN = SLICE
"""Seconds that the records of a turn may take: without and with an epoch in flight."""


class WorkerDriver:
    """Runs on one thread: `receive` the coordinator's messages, `work` on other workers' events, `step` in between.

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
            tell: sends a message to the coordinator. send: sends an event to a task of another worker.
            on_epoch: is called with each epoch that is done.
        """
        self.slot = slot
        self.attempt = attempt
        self.sources = Sources(plan, ports)
        self.worker: Worker | None = None
        self._store = ports.checkpoints
        self._clock = ports.clock
        self._monotonic = ports.monotonic
        self._on_step = ports.on_step
        self._tasks = HostedTasks(
            with_sink_serdes(plan, accepting_serdes(ports.connectors)),
            ports.checkpoints,
            open_state,
            clock=ports.clock,
            memory_limit=options.memory_limit,
        )
        self._publishers = Publishers(plan, ports, slot, self.sources, tell)
        self._tell = tell
        self._send = send
        self._epochs = EpochWork(
            plan.delivery,
            ports,
            slot,
            attempt,
            self._tasks,
            self._publishers,
            tell=tell,
            work=self.work,
            on_epoch=on_epoch,
        )
        self._query = Slices()
        self._calls = ports.calls()
        self._polling = Polling(self.sources, options, ports.monotonic)
        self._told_busy: Epoch = 0
        self._next_clock = 0

    def receive(self, message: Any) -> None:
        """Take a message of the coordinator. Raises any error of what follows from it."""
        match message:
            case Fence():
                self._publishers.fence(message)
            case ReadMarkers(sinks):
                self._tell(MarkersRead(self._publishers.look(sinks)))
            case SetMarkers():
                self._epochs.add(self._publishers.set_markers(message))
            case Settle():
                self._publishers.settle()
                self._tell(Settled(self.slot))
            case Republish():
                self._epochs.add(self._publishers.republish(message))
            case Start():
                self._start(message)
            case WriteBase():
                self._epochs.write_base(message)
            case QueryRows():
                assert self.worker is not None
                self._query.drop()  # the coordinator asks one query at a time: nobody waits for the one before
                self._query.begin(read_rows(message, self.slot, self.worker, self._tell, self._monotonic))
            case EpochCommitted():
                self._epochs.committed()
                self.work(message)
            case BarrierInjected():
                self._polling.last = self._polling.last or message.last
                self._epochs.seal(message)
            case _:
                raise InvariantBroken(f"{type(message).__name__} means nothing to worker {self.slot}")

    def step(self) -> bool:
        """One turn, without reading records. True if anything was done."""
        worked = self._epochs.collect() | self._publishers.step() | bool(self._query)
        for done in self._calls.done():
            worked = True
            self.work(done)
        self._epochs.advance()
        self._query.advance()
        now = self._clock()
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
        came = self._polling.poll(self.turn, timeout, self.work)
        if self._polling.exhausted():
            self._tell(Exhausted(self.slot))
        return came

    @property
    def turn(self) -> float:
        """Seconds that records of a turn may take: few while an epoch is in flight."""
        return SHORT_TURN if self.writing else LONG_TURN

    def wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for background work, when there is nothing to read."""
        self._epochs.wait(timeout)

    @property
    def reads(self) -> bool:
        """Whether records are to be read now: not before the start, nor after the last barrier, nor short of memory."""
        return self.worker is not None and not self._polling.held and not self._polling.last

    @property
    def holds(self) -> bool:
        """Whether memory is short and no source may be read."""
        return self._polling.held

    @property
    def writing(self) -> bool:
        """Whether something is being written or published."""
        return self._epochs.writing

    @property
    def outage(self) -> str | None:
        """Why the worker waits, while a system is unavailable."""
        return self._publishers.outage or self.sources.outage

    def work(self, event: WorkerEvent) -> None:
        """Give the worker an event, and carry out its actions."""
        if self.worker is None:
            raise InvariantBroken(f"worker {self.slot} was told of {type(event).__name__} before it was started")
        self._do(self.worker.handle(event))

    def close(self) -> None:
        """Release everything; unfinished work is dropped."""
        self._query.drop()
        self._epochs.close()
        self._calls.close()
        self.sources.close()
        self._publishers.close()
        self._tasks.close()

    def _start(self, start: Start) -> None:
        order = start.order
        if start.checkpoint is not None:
            with starting_from(self._store, start.checkpoint):
                order = replace(order, manifest=read_manifest(self._store, start.checkpoint))
        self._publishers.let_go_of_others()
        self.worker = worker = self._tasks.start(order, self.slot, start.placement)
        self._epochs.start(order.lineage, worker)
        self.sources.place(order.topology.sources)
        self.sources.start(positions_of(start.progress), worker.tasks, start.systems)
        ends = self._polling.fix_ends(start.ends)
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
                    self._epochs.write_segment(action)
                case AckEpoch(ack):
                    self._tell(ack)
                case PublishEpoch():
                    self._epochs.publish(action)
                case ApplyEpoch():
                    self._epochs.apply(action)
                case ReportDone(epoch):
                    self._epochs.done()
                    self._tell(EpochDone(self.slot, epoch))
                case AppendOutput(sink, batches):
                    self._publishers.own.append(sink, batches)
                case StartCalls(task, operator, calls):
                    self._calls.start(task, operator, calls)
                case RequestBarrier():
                    self._tell(BarrierRequested())
                case HoldSources():
                    self._polling.hold()
                case ReleaseSources():
                    self._polling.release()
            self._on_step(steps.after(type(action)))
