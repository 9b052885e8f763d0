"""The coordinator's process: obeys the coordinator's orders, by messages to the workers and by what it writes."""

from __future__ import annotations

from typing import Any

from rayflow.checkpoint.attempts import claim_attempt
from rayflow.checkpoint.layout import manifest_name, published_name
from rayflow.checkpoint.manifest import Manifest, encode_manifest, newest_manifest, read_manifest
from rayflow.checkpoint.published import is_published
from rayflow.checkpoint.retention import collect
from rayflow.core.errors import DamagedObject
from rayflow.core.ids import TaskId, WorkerId
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
    StopRequested,
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
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.segments import staged_by
from rayflow.runtimes.simulated.messages import (
    Busy,
    Exhausted,
    Fence,
    MarkersRead,
    ReadMarkers,
    Republish,
    Republished,
    SlotFenced,
    Start,
    Started,
)
from rayflow.runtimes.simulated.process import Process, RecordedStore
from rayflow.runtimes.simulated.surroundings import MILLISECOND, Surroundings

TICK = 50 * MILLISECOND


class CoordinatorProcess(Process):
    """Runs one attempt from its claim on.

    Attributes:
        sources: the number of partitions that each source had when the attempt began.
        ending: "stop" or "drain", whichever was asked for first; "" while nothing was.
        began: what the tasks were started with; None before.
    """

    def __init__(
        self, world: Surroundings, incarnation: int, plan: JobPlan, options: CoordinatorOptions, retain: int
    ) -> None:
        super().__init__(world, incarnation, "coordinator")
        self.sources = world.partitions()
        self.coordinator = Coordinator(plan, self.sources, options)
        self.workers = options.workers
        self._retain = retain
        self._plan = plan
        self._busy = False
        self._spawned = False
        self._looking = False
        self._waits: set[WorkerId] = set()
        self._exhausted: set[WorkerId] = set()
        self._opening: OpenPublishers | None = None
        self._placement: dict[TaskId, WorkerId] = {}
        self.ending = ""
        self.began: StartTasks | None = None

    def begin(self) -> None:
        """Start the attempt."""
        self.arrive("begin", lambda: self._obey(self.coordinator.start()))

    def stop(self) -> None:
        """Ask for a last checkpoint and the end."""
        self.arrive("stop", self._stop)

    def rescale(self) -> None:
        """Ask for a last barrier and another attempt, with other workers or more partitions."""
        self.arrive("rescale", lambda: self._tell(PartitionsAdded()))

    def _stop(self) -> None:
        self.ending = self.ending or "stop"
        self._tell(StopRequested())

    def validate(self) -> None:
        self.coordinator.validate()

    def receive(self, body: Any) -> None:
        match body:
            case SlotFenced(slot):
                if self._answered(slot):
                    assert self._opening is not None
                    self._send(self.workers[0], ReadMarkers(self._opening.sinks))
            case MarkersRead(markers):
                self._tell(MarkersSeen(markers) if self._looking else PublishersOpened(markers))
            case Republished(slot):
                if self._answered(slot):
                    self._tell(OutputRepublished())
            case Started(worker):
                if self._answered(worker):
                    self._tell(TasksStarted())
                    self._tick()
            case Busy(epoch):
                self._busy = self._busy or epoch > self.coordinator.epoch
            case Exhausted(worker):
                self._exhausted.add(worker)
                if len(self._exhausted) == len(self.workers):
                    self.ending = self.ending or "drain"
                    self._tell(SourcesExhausted())
            case MarkersSet() | SegmentAcked() | EpochDone() | BaseWritten() | BarrierRequested():
                self._tell(body)

    def _answered(self, slot: WorkerId) -> bool:
        self._waits.discard(slot)
        return not self._waits

    def _tick(self) -> None:
        self._tell(Tick(self.world.clock(), self._busy))
        self.later(TICK, "tick", self._tick)

    def _tell(self, event: CoordinatorEvent) -> None:
        self.changed = True
        self._obey(self.coordinator.handle(event))

    def _obey(self, orders: list[Order]) -> None:
        for order in orders:
            self.act(type(order).__name__, lambda order=order: self._do(order))  # type: ignore[misc]

    def _do(self, order: Order) -> None:
        match order:
            case ClaimAttempt():
                claim = claim_attempt(self.checkpoints, order.slots, order.lineage)
                self.attempt = claim.attempt
                self.act("AttemptClaimed", lambda: self._tell(AttemptClaimed(claim)))
            case ReadManifest():
                manifest = newest_manifest(self.checkpoints)
                published = manifest is not None and is_published(self.checkpoints, manifest)
                self.act("ManifestRead", lambda: self._tell(ManifestRead(manifest, published)))
            case LookAtMarkers():
                self._looking = True
                self._spawn()
                self._send(self.workers[0], ReadMarkers(order.sinks))
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
                self._send(self._placement[order.task], order)
            case RecordPublished(lineage, epoch):
                name = published_name(lineage, epoch)
                self.world.put(self, name, [b""], lambda: self._tell(PublishedRecorded()))
            case CollectGarbage():
                self._collect()
            case FinishAttempt():
                self.world.finished(self, order.restart)

    def _send(self, slot: WorkerId, body: object) -> None:
        self.post(slot, body)

    def _broadcast(self, body: object) -> None:
        for slot in self.workers:
            self._send(slot, body)

    def _spawn(self) -> None:
        if not self._spawned:
            self._spawned = True
            self.world.workers(self, self.workers)

    def _open(self, order: OpenPublishers) -> None:
        """Fence every slot; only when all are, read the markers: until then any of them could still change one."""
        self._looking = False
        self._opening = order
        self._spawn()
        self._waits = set(order.slots)
        for slot in order.slots:
            self._send(self._holder(slot), Fence(slot))

    def _holder(self, slot: WorkerId) -> WorkerId:
        """The worker that has the publisher of a slot: its own, the first those that are not in use any more."""
        return slot if slot in self.workers else self.workers[0]

    def _republish(self, order: RepublishOutput) -> None:
        staged = staged_by(self.checkpoints, self._plan, order)
        self._waits = set(staged)
        for slot in sorted(staged):
            self._send(self._holder(slot), Republish(slot, order.manifest, staged[slot]))

    def _start(self, order: StartTasks) -> None:
        self.began = order
        self.changed = True
        tasks = order.topology.tasks()
        self.world.random.shuffle(tasks)
        self._placement = {task: self.workers[at % len(self.workers)] for at, task in enumerate(tasks)}
        self._waits = set(self.workers)
        self._broadcast(Start(order, self._placement))

    def _write_manifest(self, manifest: Manifest) -> None:
        def then(created: bool) -> None:
            # Ours all the same, if the store did it but its answer was lost.
            winner = self.attempt if created else read_manifest(self.checkpoints, manifest.epoch).attempt
            newest = newest_manifest(self.checkpoints)
            if newest is not None and newest.epoch > manifest.epoch:
                # Created anew: a later attempt had committed this epoch, gone on, and deleted its old manifest.
                winner = newest.attempt
            if winner != self.attempt:
                self._tell(ManifestConflict(manifest.epoch, winner))
                return
            self.world.committed(self, manifest)
            self.act("ManifestWritten", lambda: self._tell(ManifestWritten(manifest.epoch)))

        self.world.create(self, manifest_name(manifest.epoch), encode_manifest(manifest), then)

    def _collect(self) -> None:
        recorded = RecordedStore(self.checkpoints)
        try:
            collect(recorded, self._retain)
        except DamagedObject:
            return
        self.world.delete(self, recorded.deleted)
