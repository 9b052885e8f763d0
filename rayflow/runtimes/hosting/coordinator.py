"""The driver of one attempt's coordinator: carries its orders out by messages to workers and by writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from rayflow.checkpoint.attempts import claim_attempt
from rayflow.checkpoint.manifest import Manifest, manifest_epochs, newest_committer, newest_manifest, write_manifest
from rayflow.checkpoint.published import is_published, record_published
from rayflow.core.errors import ObjectExists
from rayflow.core.ids import Attempt, Marker, SinkTask, TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.events import (
    AttemptClaimed,
    BarrierInjected,
    BarrierRequested,
    BaseWritten,
    CoordinatorEvent,
    EpochCommitted,
    EpochDone,
    ManifestConflict,
    ManifestRead,
    ManifestWritten,
    MarkersSeen,
    MarkersSet,
    OutputRepublished,
    PartitionsAdded,
    PublishedRecorded,
    PublishersOpened,
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
from rayflow.engine.placement import place
from rayflow.engine.regrouping import TaskProgress
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting import steps
from rayflow.runtimes.hosting.garbage_collection import GarbageCollection
from rayflow.runtimes.hosting.messages import (
    Busy,
    Ends,
    Exhausted,
    Failed,
    Fence,
    MarkersRead,
    ReadMarkers,
    Republish,
    Republished,
    RowsFound,
    Settle,
    Settled,
    SlotFenced,
    Start,
    Started,
)
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.partition_watch import PartitionWatch
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.queries import Queries, Query
from rayflow.runtimes.hosting.savepoints import Savepoint, Savepoints
from rayflow.runtimes.hosting.segments import staged_by, starting_progress
from rayflow.runtimes.hosting.sinks import Sinks
from rayflow.runtimes.hosting.sources import Sources

log = get_logger("rayflow.coordinator")

TICK = 5
"""Wall-clock time between two looks at what is due, in ms."""


class CoordinatorDriver:
    """Runs on one thread: `start`, then `receive` what workers say and `step` in between, until `finished`.

    Attributes:
        sources: the job's sources, to be looked at. manifest: the newest one. placement: the worker of each task.
        started: whether records are processed. topology: None until the tasks are started.
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
            on_commit: is told of each manifest that is written.

        Raises BrokerUnavailable, UnknownTopic, AuthenticationFailed.
        """
        self.sources = Sources(plan, ports)
        self._systems = self.sources.systems()
        self.coordinator = Coordinator(
            plan,
            self.sources.partitions(),
            CoordinatorOptions(
                lineage=lineage,
                interval=options.checkpoint_interval or plan.checkpoint_interval,
                workers=workers,
                systems=self._systems,
                drop_state=options.drop_state,
                allow_new_partitions=options.allow_new_partitions,
                new_lineage=options.new_lineage,
                lost_marker=options.lost_marker,
            ),
        )
        self.background = ports.background()
        self.finished: FinishAttempt | None = None
        self.manifest: Manifest | None = None
        self.placement: dict[TaskId, WorkerId] = {}
        self.started = False
        self.workers = workers
        self.topology: Topology | None = None
        self._plan = plan
        self._ports = ports
        self._store = ports.checkpoints
        self._earlier = earlier
        self._ends: Ends = {} if ends is None else ends
        self._send = send
        self._on_commit = on_commit
        self._on_step = ports.on_step
        asked = deque[Savepoint]() if savepoints is None else savepoints
        self._savepoints = Savepoints(self._store, ports.background(), asked, options.folders)
        self._queries = Queries(plan, send, deque() if queries is None else queries)
        self._garbage = GarbageCollection(
            plan.name, self._store, options.retain, ports.background(), lambda: self._savepoints.pinned
        )
        self._watch = PartitionWatch(self.sources, ports)
        self._finishing: FinishAttempt | None = None
        self._busy = False
        self._looking = False
        self._opening: OpenPublishers | None = None
        self._markers: dict[SinkTask, Marker | None] = {}
        self._waits: set[WorkerId] = set()
        self._exhausted: set[WorkerId] = set()
        self._ticked = 0

    def start(self) -> None:
        """Begin the attempt. Raises what recovery refuses."""
        self._carry_out(self.coordinator.start())

    def step(self) -> bool:
        """One turn; True if something came of it."""
        worked = self.background.collect() | self._garbage.step() | self._savepoints.step()
        worked |= self._queries.step(self.started, self.placement)
        now = self._ports.clock()
        if self.started and not 0 <= now - self._ticked < TICK:
            self._ticked = now
            self.tell(Tick(now, self._busy))
        if self.topology is not None and self.started and self._watch.grown(self.topology.sources):
            log.info("a source has more partitions", job=self._plan.name)
            self.tell(PartitionsAdded())
        return worked

    def receive(self, attempt: Attempt, message: Any) -> None:
        """Take what a worker says; what belongs to another attempt is refused.

        Raises Fenced, what recovery refuses, and what a worker has failed with.
        """
        if attempt != self.coordinator.attempt:
            return
        match message:
            case Failed(_, error):
                raise error
            case SlotFenced(slot, markers):
                self._markers.update(markers)
                if self._answered(slot):
                    self._all_fenced()
            case MarkersRead(markers):
                self.tell(MarkersSeen(markers) if self._looking else PublishersOpened(markers))
            case Republished(slot):
                if self._answered(slot):
                    self.tell(OutputRepublished())
            case Started(worker, ends):
                self._ends.update(ends)
                if self._answered(worker):
                    self.started = True
                    self.tell(TasksStarted())
                    self.tell(Tick(self._ports.clock(), self._busy))  # before anything can end the first epoch
            case Busy(epoch):
                self._busy = self._busy or epoch > self.coordinator.epoch
            case Exhausted(worker):
                self._exhausted.add(worker)
                if len(self._exhausted) == len(self.workers):
                    self.tell(SourcesExhausted())
            case RowsFound():
                self._queries.read(message)
            case Settled(worker):
                if self._answered(worker):
                    self.finished = self._finishing
            case MarkersSet() | SegmentAcked() | EpochDone() | BaseWritten() | BarrierRequested():
                self.tell(message)

    def tell(self, event: CoordinatorEvent) -> None:
        """Tell the coordinator something, and carry its orders out."""
        self._carry_out(self.coordinator.handle(event))

    def savepoint(self, savepoint: Savepoint) -> None:
        """Copy the next checkpoint, which is asked for at once."""
        self._savepoints.ask(savepoint)
        if self.started:
            self.tell(BarrierRequested(0))

    @property
    def collecting(self) -> bool:
        """Whether old checkpoints are being deleted."""
        return self._garbage.running

    def close(self) -> None:
        """Let what is being written finish, cut off what is being copied, and let go."""
        self._watch.close()
        self._queries.close()
        self._savepoints.close()
        self.background.close()
        self._garbage.close()

    def _answered(self, slot: WorkerId) -> bool:
        self._waits.discard(slot)
        return not self._waits

    def _carry_out(self, orders: list[Order]) -> None:
        for order in orders:
            self._on_step(steps.before(type(order)))
            match order:
                case ClaimAttempt():
                    self.tell(AttemptClaimed(claim_attempt(self._store, order.slots, order.lineage)))
                case ReadManifest():
                    self.manifest = newest_manifest(self._store)
                    published = self.manifest is not None and is_published(self._store, self.manifest)
                    self.tell(ManifestRead(self.manifest, published))
                case LookAtMarkers():
                    self._looking = True
                    self._send(order.slot, ReadMarkers(order.sinks))
                case OpenPublishers():
                    self._open(order)
                case RepublishOutput():
                    self._republish(order)
                case SetMarkers():
                    self._send(self.workers[0], order)
                case StartTasks():
                    self._start(order)
                case InjectBarrier():
                    self._busy = False
                    self._broadcast(BarrierInjected(order.epoch, order.drain, self.coordinator.final_barrier_sent))
                case WriteManifest():
                    self._write_manifest(order.manifest)
                case CommitEpoch():
                    self._broadcast(EpochCommitted(order.epoch))
                case WriteBase():
                    self._send(self.placement[order.task], order)
                case RecordPublished(lineage, epoch):
                    note = partial(record_published, self._store, lineage, epoch)
                    self.background.call(note, lambda _: self.tell(PublishedRecorded()))
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
        self._waits = set(self.workers)
        self._broadcast(Settle())

    def _broadcast(self, message: object) -> None:
        for slot in self.workers:
            self._send(slot, message)

    def _holder(self, slot: WorkerId) -> WorkerId:
        """The worker that has the publishers of a slot: its own, or one of all, in turn, if it is in use no more."""
        return slot if slot in self.workers else self.workers[slot % len(self.workers)]

    def _open(self, order: OpenPublishers) -> None:
        self._looking = False
        self._opening = order
        self._markers = {}
        self._waits = set(order.slots)
        sinks = order.sinks if self._plan.delivery == "at_least_once" else ()
        for slot in order.slots:
            self._send(self._holder(slot), Fence(slot, sinks))

    def _all_fenced(self) -> None:
        """Only now read the markers: until every slot is fenced, any of them could still change one."""
        assert self._opening is not None
        if self._plan.delivery == "exactly_once":
            self._send(self.workers[0], ReadMarkers(self._opening.sinks))
        else:
            self.tell(PublishersOpened(self._markers))

    def _republish(self, order: RepublishOutput) -> None:
        log.info("publishing output staged by the last run", job=self._plan.name, epoch=order.manifest.epoch)
        staged = staged_by(self._store, self._plan, order, self._ports.together)
        self._waits = set(staged)
        for slot in sorted(staged):
            message = Republish(slot, order.manifest.epoch, order.topology.sources, staged[slot])
            self._send(self._holder(slot), message)

    def _start(self, order: StartTasks) -> None:
        self.topology = order.topology
        for topic in Sinks(self._plan, self._ports.connectors).create_topics(order.topology):
            log.info("created a topic", job=self._plan.name, topic=topic)
        self.placement = place(order.topology.tasks(), self.workers, self._earlier)
        self._waits = set(self.workers)
        # Each task's progress is in the segment of the worker that had it: read here once, not by every worker.
        read = partial(starting_progress, self._store, self._plan, order, self._ports.together)
        self.background.call(read, partial(self._send_starts, order))

    def _send_starts(self, order: StartTasks, progress: TaskProgress) -> None:
        checkpoint = None if order.manifest is None else order.manifest.epoch
        places: dict[str, list[WorkerId]] = {stage: [] for stage in order.topology.stages}
        parts: dict[WorkerId, dict[TaskId, Mapping[str, Any]]] = {slot: {} for slot in self.workers}
        for task, slot in self.placement.items():
            places[task.stage].append(slot)
            if task in progress:
                parts[slot][task] = progress[task]
        order = replace(order, manifest=None)
        for slot, part in parts.items():
            self._send(slot, Start(order, checkpoint, places, part, self._ends, self._systems))

    def _write_manifest(self, manifest: Manifest) -> None:
        def write() -> int:
            try:
                write_manifest(self._store, manifest)
            except ObjectExists:
                # Ours nevertheless, if the store did it but its answer was lost.
                return newest_committer(self._store)
            newest = max(manifest_epochs(self._store), default=manifest.epoch)
            if newest > manifest.epoch:
                # Created anew: a later attempt had committed this epoch, gone on, and deleted its old manifest.
                return newest_committer(self._store)
            return manifest.attempt

        def then(attempt: int) -> None:
            if attempt != manifest.attempt:
                self.tell(ManifestConflict(manifest.epoch, attempt))
                return
            self.manifest = manifest
            self._on_commit(manifest)
            self._savepoints.begin(manifest)
            self._on_step(steps.MANIFEST_WRITTEN)
            self.tell(ManifestWritten(manifest.epoch))

        self.background.call(write, then)
