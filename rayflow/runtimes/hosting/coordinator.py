"""The driver of one attempt's coordinator: carries its orders out by messages to workers and by writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Attempt, TaskId, WorkerId
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.events import (
    BarrierInjected,
    BarrierRequested,
    BaseWritten,
    CoordinatorEvent,
    EpochCommitted,
    EpochDone,
    MarkersSet,
    PartitionsAdded,
    SegmentAcked,
    SourcesExhausted,
    TasksStarted,
    Tick,
)
from rayflow.engine.orders import (
    ClaimAttempt,
    CollectGarbage,
    CommitEpoch,
    FinishAttempt,
    InjectBarrier,
    LookAtMarkers,
    OpenPublishers,
    Order,
    ReadManifest,
    RecordPublished,
    RepublishOutput,
    SetMarkers,
    StartTasks,
    WriteBase,
    WriteManifest,
)
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting import steps
from rayflow.runtimes.hosting.commits import Commits
from rayflow.runtimes.hosting.garbage_collection import GarbageCollection
from rayflow.runtimes.hosting.messages import (
    Busy,
    Ends,
    Exhausted,
    Failed,
    MarkersRead,
    Republished,
    RowsFound,
    Settle,
    Settled,
    SlotFenced,
    Started,
)
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.partition_watch import PartitionWatch
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.queries import Queries, Query
from rayflow.runtimes.hosting.savepoints import Savepoint, Savepoints
from rayflow.runtimes.hosting.sources import Sources
from rayflow.runtimes.hosting.takeover import Takeover

TICK = 5
"""Wall-clock time between two looks at what is due, in ms."""


class CoordinatorDriver:
    """Runs on one thread: `start`, then `receive` the workers' messages and `step` in between, until `finished`.

    Attributes:
        sources: the job's sources, to be looked at. started: whether records are processed.
        finished: set once the attempt is over.
    """

    def __init__(
        self,
        plan: JobPlan,
        options: RunOptions,
        ports: Ports,
        workers: tuple[WorkerId, ...],
        *,
        lineage: str,
        send: Callable[[WorkerId, object], None],
        earlier: Mapping[TaskId, WorkerId] = MappingProxyType({}),
        ends: Ends | None = None,
        savepoints: deque[Savepoint] | None = None,
        queries: deque[Query] | None = None,
        on_commit: Callable[[Manifest], None] = lambda manifest: None,
    ) -> None:
        """The coordinator of the next attempt, not started yet.

        Args:
            workers: the slots of the attempt. lineage: of its checkpoints, should the store be new.
            send: takes a message for a worker's slot; it arrives after those before it, once.
            earlier: where the tasks were before; most stay there. ends: of a bounded run, shared by its attempts.
            savepoints, queries: those that are asked for and not begun, shared by the job's attempts.
            on_commit: is called with each manifest that is written.

        Raises BrokerUnavailable, UnknownTopic, AuthenticationFailed.
        """
        self.sources = Sources(plan, ports)
        systems = self.sources.systems()
        self.coordinator = Coordinator(
            plan,
            CoordinatorOptions(
                lineage=lineage,
                interval=options.checkpoint_interval or plan.checkpoint_interval,
                workers=workers,
                systems=systems,
                drop_state=options.drop_state,
                allow_new_partitions=options.allow_new_partitions,
                new_lineage=options.new_lineage,
                lost_marker=options.lost_marker,
                keep_open=options.keep_open,
            ),
        )
        self.background = ports.background()
        self.finished: FinishAttempt | None = None
        self.started = False
        self.workers = workers
        self._clock = ports.clock
        self._on_step = ports.on_step
        self._send = send
        asked = deque[Savepoint]() if savepoints is None else savepoints
        self._savepoints = Savepoints(ports.checkpoints, ports.background(), asked, options.folders)
        self._queries = Queries(plan, send, deque() if queries is None else queries)
        self._garbage = GarbageCollection(
            plan.name, ports.checkpoints, options.retain, ports.background(), lambda: self._savepoints.pinned
        )
        self._watch = PartitionWatch(plan.name, self.sources, ports)
        self._commits = Commits(ports, self.sources, self.background, self.tell, (on_commit, self._savepoints.begin))
        self._takeover = Takeover(
            plan,
            ports,
            workers,
            self.background,
            earlier=earlier,
            ends={} if ends is None else ends,
            systems=systems,
            send=send,
            tell=self.tell,
        )
        self._finishing: FinishAttempt | None = None
        self._unsettled: set[WorkerId] = set()
        self._reading = set(workers)
        self._busy = False
        self._ticked = 0

    def start(self) -> None:
        """Begin the attempt. Raises what recovery refuses."""
        self._carry_out(self.coordinator.start())

    def step(self) -> bool:
        """One turn; True if something came of it."""
        worked = self.background.collect() | self._garbage.step() | self._savepoints.step()
        worked |= self._queries.step(self.started, self.placement)
        now = self._clock()
        if self.started and not 0 <= now - self._ticked < TICK:
            self._ticked = now
            self.tell(Tick(now, self._busy))
        if self.topology is not None and self.started and self._watch.grown(self.topology.sources):
            self.tell(PartitionsAdded())
        return worked

    def receive(self, attempt: Attempt, message: Any) -> None:
        """Take a worker's message. Messages of another attempt are ignored.

        Raises Fenced, what recovery refuses, and what a worker has failed with.
        """
        if attempt != self.coordinator.attempt:
            return
        match message:
            case Failed(_, error):
                raise error
            case SlotFenced() | MarkersRead() | Republished():
                self._takeover.receive(message)
            case Started():
                if self._takeover.all_started(message):
                    self.started = True
                    self.tell(TasksStarted())
                    self.tell(Tick(self._clock(), self._busy))  # before anything can end the first epoch
            case Busy(epoch):
                self._busy = self._busy or epoch > self.coordinator.epoch
            case Exhausted(worker):
                self._reading.discard(worker)
                if not self._reading:
                    self.tell(SourcesExhausted())
            case RowsFound():
                self._queries.read(message)
            case Settled(worker):
                self._unsettled.discard(worker)
                if not self._unsettled:
                    self.finished = self._finishing
            case MarkersSet() | SegmentAcked() | EpochDone() | BaseWritten() | BarrierRequested():
                self.tell(message)
            case _:
                raise InvariantBroken(f"a worker said {type(message).__name__}, which means nothing to its coordinator")

    def tell(self, event: CoordinatorEvent) -> None:
        """Tell the coordinator something, and carry its orders out."""
        self._carry_out(self.coordinator.handle(event))

    def savepoint(self, savepoint: Savepoint) -> None:
        """Request a checkpoint now, and copy it."""
        self._savepoints.ask(savepoint)
        if self.started:
            self.tell(BarrierRequested())

    @property
    def manifest(self) -> Manifest | None:
        """The newest one: read by this attempt at its start, or written by it."""
        return self._commits.newest

    @property
    def placement(self) -> dict[TaskId, WorkerId]:
        """The worker of each task; empty until they are started."""
        return self._takeover.placement

    @property
    def topology(self) -> Topology | None:
        """None until the tasks are started."""
        return self._takeover.topology

    @property
    def collecting(self) -> bool:
        """Whether old checkpoints are being deleted."""
        return self._garbage.running

    def close(self) -> None:
        """End the attempt: abandon copies and listings of the store; wait for running writes and deletions, because the
        next attempt reads what is there. At the end of the job, wait for garbage collection a little (`PATIENCE`)."""
        if self.finished is not None and not self.finished.restart:
            self._garbage.finish()
        self._watch.close()
        self._queries.close()
        self._savepoints.close()
        self.background.close()
        self._garbage.close()

    def _carry_out(self, orders: list[Order]) -> None:
        for order in orders:
            self._on_step(steps.before(type(order)))
            match order:
                case ClaimAttempt():
                    self._commits.claim(order)
                case ReadManifest():
                    self._commits.read()
                case LookAtMarkers() | OpenPublishers() | RepublishOutput() | SetMarkers() | StartTasks():
                    self._takeover.carry_out(order)
                case InjectBarrier():
                    self._busy = False
                    self._broadcast(BarrierInjected(order.epoch, order.drain, self.coordinator.final_barrier_sent))
                case WriteManifest():
                    self._commits.write(order.manifest)
                case CommitEpoch():
                    self._broadcast(EpochCommitted(order.epoch))
                case WriteBase():
                    self._send(self.placement[order.task], order)
                case RecordPublished():
                    self._commits.record_published(order)
                case CollectGarbage():
                    self._garbage.collect()
                case FinishAttempt():
                    self._finish(order)
            self._on_step(steps.after(type(order)))

    def _finish(self, order: FinishAttempt) -> None:
        if order.restart:
            self.finished = order
            return
        self._finishing = order
        self._unsettled = set(self.workers)
        self._broadcast(Settle())

    def _broadcast(self, message: object) -> None:
        for slot in self.workers:
            self._send(slot, message)
