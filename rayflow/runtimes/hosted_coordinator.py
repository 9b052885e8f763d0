"""The coordinator of one attempt whose workers are elsewhere: obeys its orders by messages and by what it writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rayflow.checkpoint.attempts import claim_attempt
from rayflow.checkpoint.manifest import Manifest, manifest_epochs, newest_manifest, read_manifest, write_manifest
from rayflow.checkpoint.published import is_published, record_published
from rayflow.checkpoint.retention import collect
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import Clock
from rayflow.core.errors import CheckpointStoreFailed, DamagedObject, ObjectExists, ObjectMissing
from rayflow.core.ids import Marker, SinkTask, TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.engine.coordinator import Coordinator
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
from rayflow.engine.regrouping import Progress
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan
from rayflow.runtimes import steps
from rayflow.runtimes.local.background import Background
from rayflow.runtimes.messages import (
    Busy,
    Ends,
    Exhausted,
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
from rayflow.runtimes.segments import staged_by, starting_progress

log = get_logger("rayflow.coordinator")

TICK = 0.005
"""Seconds between two looks at the clock."""


class HostedCoordinator:
    """Runs on one thread: `start`, then `receive` what workers say and `step` in between, until `finished`.

    `send` takes a message for a worker's slot; `create_topics` makes the sinks' topics that do not exist.
    `on_commit` is told of each manifest that is written; `on_step`, before and after, of every order.
    """

    def __init__(
        self,
        plan: JobPlan,
        coordinator: Coordinator,
        workers: tuple[WorkerId, ...],
        store: CheckpointStore,
        *,
        retain: int,
        clock: Clock,
        earlier: Mapping[TaskId, WorkerId],
        ends: Ends,
        send: Callable[[WorkerId, object], None],
        create_topics: Callable[[Topology], None],
        on_commit: Callable[[Manifest], None] = lambda manifest: None,
        on_step: Callable[[str], None] = lambda step: None,
        wake: Callable[[], None] | None = None,
    ) -> None:
        """`earlier`: where the tasks were before; most stay there. `ends`: of a bounded run, shared by its attempts.
        `wake`: called on other threads when there is something for `step`."""
        self.coordinator = coordinator
        self.background = Background(wake)
        self.collecting = Background(wake)
        self._collect_again = False
        self.finished: FinishAttempt | None = None
        self._finishing: FinishAttempt | None = None
        self.manifest: Manifest | None = None
        self.placement: dict[TaskId, WorkerId] = {}
        self.started = False
        self.workers = workers
        self.topology: Topology | None = None
        self._plan = plan
        self._store = store
        self._retain = retain
        self._clock = clock
        self._earlier = earlier
        self._ends = ends
        self._send = send
        self._create_topics = create_topics
        self._on_commit = on_commit
        self._on_step = on_step
        self._busy = False
        self._looking = False
        self._opening: OpenPublishers | None = None
        self._markers: dict[SinkTask, Marker | None] = {}
        self._waits: set[WorkerId] = set()
        self._exhausted: set[WorkerId] = set()
        self._next_tick = 0.0

    def start(self) -> None:
        """Begin the attempt. Raises what recovery refuses."""
        self._obey(self.coordinator.start())

    def step(self) -> bool:
        """One turn; True if something came of it."""
        worked = self.background.collect() | self.collecting.collect()
        now = time.monotonic()
        if self.started and now >= self._next_tick:
            self._next_tick = now + TICK
            self.tell(Tick(self._clock(), self._busy))
        return worked

    def receive(self, message: Any) -> None:
        """Take what a worker says. Raises Fenced, and what recovery refuses."""
        match message:
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
                    self.tell(Tick(self._clock(), self._busy))  # before anything can end the first epoch
            case Busy(epoch):
                self._busy = self._busy or epoch > self.coordinator.epoch
            case Exhausted(worker):
                self._exhausted.add(worker)
                if len(self._exhausted) == len(self.workers):
                    self.tell(SourcesExhausted())
            case Settled(worker):
                if self._answered(worker):
                    self.finished = self._finishing
            case MarkersSet() | SegmentAcked() | EpochDone() | BaseWritten() | BarrierRequested():
                self.tell(message)

    def tell(self, event: CoordinatorEvent) -> None:
        """Tell the coordinator something, and obey."""
        self._obey(self.coordinator.handle(event))

    def close(self) -> None:
        """Let what is being written finish, and let go."""
        self.background.close()
        self.collecting.close()

    def _answered(self, slot: WorkerId) -> bool:
        self._waits.discard(slot)
        return not self._waits

    def _obey(self, orders: list[Order]) -> None:
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
                    self._broadcast(BarrierInjected(order.epoch, order.drain))
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
                    self._collect()
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
        """The worker that has the publishers of a slot: its own, the first those that are not in use any more."""
        return slot if slot in self.workers else self.workers[0]

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
        log.info("publishing what the last run had staged", job=self._plan.name, epoch=order.manifest.epoch)
        staged = staged_by(self._store, self._plan, order)
        self._waits = set(staged)
        for slot in sorted(staged):
            message = Republish(slot, order.manifest.epoch, order.topology.sources, staged[slot])
            self._send(self._holder(slot), message)

    def _start(self, order: StartTasks) -> None:
        self.topology = order.topology
        self._create_topics(order.topology)
        self.placement = place(order.topology.tasks(), self.workers, self._earlier)
        self._waits = set(self.workers)
        # Each task's progress is in the segment of the worker that had it: read here once, not by every worker.
        read = partial(starting_progress, self._store, self._plan, order)
        self.background.call(read, partial(self._send_starts, order))

    def _send_starts(self, order: StartTasks, progress: Progress) -> None:
        checkpoint = None if order.manifest is None else order.manifest.epoch
        places: dict[str, list[WorkerId]] = {stage: [] for stage in order.topology.stages}
        parts: dict[WorkerId, dict[TaskId, Mapping[str, Any]]] = {slot: {} for slot in self.workers}
        for task, slot in self.placement.items():
            places[task.stage].append(slot)
            if task in progress:
                parts[slot][task] = progress[task]
        order = replace(order, manifest=None)
        for slot, part in parts.items():
            self._send(slot, Start(order, checkpoint, places, part, self._ends))

    def _write_manifest(self, manifest: Manifest) -> None:
        def write() -> int:
            try:
                write_manifest(self._store, manifest)
            except ObjectExists:
                # Ours all the same, if the store did it but its answer was lost.
                return read_manifest(self._store, manifest.epoch).attempt
            newest = max(manifest_epochs(self._store), default=manifest.epoch)
            if newest > manifest.epoch:
                # Created anew: a later attempt had committed this epoch, gone on, and deleted its old manifest.
                return read_manifest(self._store, newest).attempt
            return manifest.attempt

        def then(attempt: int) -> None:
            if attempt != manifest.attempt:
                self.tell(ManifestConflict(manifest.epoch, attempt))
                return
            self.manifest = manifest
            self._on_commit(manifest)
            self._on_step(steps.MANIFEST_WRITTEN)
            self.tell(ManifestWritten(manifest.epoch))

        self.background.call(write, then)

    def _collect(self) -> None:
        """Beside the commits, since listing a large store can take longer than an epoch. What is asked for meanwhile is
        done once, afterwards."""
        self._collect_again = self.collecting.waiting > 0
        if not self._collect_again:
            self.collecting.call(self._collect_garbage, lambda _: self._collect() if self._collect_again else None)

    def _collect_garbage(self) -> None:
        try:
            collect(self._store, self._retain)
        except (DamagedObject, ObjectMissing, CheckpointStoreFailed) as error:
            # It can wait; a checkpoint that is there cannot harm.
            log.warning("old checkpoints could not be deleted", job=self._plan.name, reason=error.what, code=error.code)
