"""One attempt in one process: does what coordinator and worker order, and tells them what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial

from rayflow.checkpoint.attempts import claim_attempt
from rayflow.checkpoint.base import PART_BYTES, encode_base_part, split_rows
from rayflow.checkpoint.layout import base_part_name
from rayflow.checkpoint.manifest import Manifest, newest_manifest, read_manifest, write_manifest
from rayflow.checkpoint.published import is_published, record_published
from rayflow.checkpoint.retention import collect
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import Clock
from rayflow.core.errors import CheckpointStoreFailed, DamagedObject, ObjectExists, ObjectMissing
from rayflow.core.ids import Marker
from rayflow.core.logging import get_logger
from rayflow.engine.actions import (
    AckEpoch,
    AppendOutput,
    ApplyEpoch,
    HoldSources,
    PublishEpoch,
    ReleaseSources,
    ReportDone,
    RequestBarrier,
    WorkerAction,
    WriteSegment,
)
from rayflow.engine.coordinator import Coordinator, Event, ManifestRead
from rayflow.engine.events import (
    AttemptClaimed,
    BarrierInjected,
    BarrierRequested,
    BaseWritten,
    ClockAdvanced,
    EpochApplied,
    EpochCommitted,
    EpochDone,
    EpochPublished,
    ManifestConflict,
    ManifestWritten,
    MarkersSeen,
    MarkersSet,
    OutputRepublished,
    PublishedRecorded,
    PublishersOpened,
    SegmentWritten,
    SourcesExhausted,
    StopRequested,
    TasksStarted,
    Tick,
    WorkerEvent,
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
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.epoch_times import EpochTimes
from rayflow.runtimes.local.background import Background
from rayflow.runtimes.local.hosting import Hosting
from rayflow.runtimes.local.sinks import Sinks
from rayflow.runtimes.local.sources import Sources
from rayflow.runtimes.options import RunOptions
from rayflow.runtimes.segments import SegmentWriter, positions_of, read_progress, read_staged
from rayflow.state.base import Rows

log = get_logger("rayflow.local")

SLOT = 0
"""The one worker of this process."""
CLOCK_EVERY = 50
"""Wall-clock time between two looks at timers, idle sources and the next barrier, in ms."""
IDLE_WAIT = 0.01
"""How long a poll waits for records when there is nothing else to do, in seconds."""
BUSY_WAIT = 0.001
"""How long it waits while something is being written or published."""


_DONE = object()


class Attempt:
    """Runs one attempt on the calling thread until it is finished or fails.

    `on_step` is told, before and after, of everything that is done to the outside world: crash tests kill there.
    `on_epoch` is told of each epoch that is done.
    """

    def __init__(
        self,
        plan: JobPlan,
        options: RunOptions,
        coordinator: Coordinator,
        hosting: Hosting,
        sources: Sources,
        sinks: Sinks,
        store: CheckpointStore,
        *,
        clock: Clock,
        on_step: Callable[[str], None],
        on_epoch: Callable[[EpochTimes], None],
    ) -> None:
        self._plan = plan
        self._options = options
        self.coordinator = coordinator
        self._hosting = hosting
        self.sources = sources
        self.sinks = sinks
        self._store = store
        self._clock = clock
        self._on_step = on_step
        self._background = Background()
        self._slices: list[Generator[None, None, None]] = []
        self.worker: Worker | None = None
        self.finished: FinishAttempt | None = None
        self.manifest: Manifest | None = None
        self._on_epoch = on_epoch
        self._times = EpochTimes(0)
        self._held = False
        self._next_clock = 0
        self._stop = False

    # Driving

    def start(self) -> None:
        """Begin; `step` until `finished`."""
        self._obey(self.coordinator.start())

    def step(self) -> None:
        """One turn: records, clock, and a slice of everything that is under way."""
        worked = self._background.collect()
        self._advance_slices()
        now = self._clock()
        if now >= self._next_clock or now < self._next_clock - CLOCK_EVERY:
            self._next_clock = now + CLOCK_EVERY
            self._on_clock(now)
        if self.worker is not None and self.finished is None:
            self._poll(0.0 if worked else BUSY_WAIT if self._slices else IDLE_WAIT)

    def stop(self) -> None:
        """Ask for a last checkpoint and the end."""
        self._tell(StopRequested())

    def tell(self, event: Event) -> None:
        """Tell the coordinator something from outside (a topic has gained partitions)."""
        self._tell(event)

    @property
    def outage(self) -> str | None:
        """Why the attempt waits, while a system is out of reach."""
        return self.sinks.outage or self.sources.outage

    def close(self) -> None:
        """Let go of everything; what is under way is dropped."""
        for under_way in self._slices:
            under_way.close()
        self._slices.clear()
        self._background.close()
        self.sources.close()
        self.sinks.close()
        self._hosting.close()

    def _poll(self, timeout: float) -> None:
        assert self.worker is not None
        if self._held or self.coordinator.final_barrier_sent:
            self._wait(timeout)
            return
        for event in self.sources.poll(self._options.max_poll_records, timeout):
            self._work(event)
        if self._options.until_end and self.sources.exhausted:
            self._tell(SourcesExhausted())

    def _wait(self, timeout: float) -> None:
        """Nothing to read: let the background have the processor."""
        self._background.wait(timeout)

    def _on_clock(self, now: int) -> None:
        if self.worker is None:
            return
        self._work(ClockAdvanced(now, self.sources.listened))
        self._tell(Tick(now, self.worker.busy))

    def _advance_slices(self) -> None:
        """Give everything that is under way one short turn."""
        for under_way in list(self._slices):
            if next(under_way, _DONE) is _DONE:
                self._slices.remove(under_way)

    # The coordinator's orders

    def _tell(self, event: Event) -> None:
        self._obey(self.coordinator.handle(event))

    def _obey(self, orders: list[Order]) -> None:
        for order in orders:
            self._on_step(f"before {type(order).__name__}")
            match order:
                case ClaimAttempt():
                    self._tell(AttemptClaimed(claim_attempt(self._store, order.slots, order.lineage)))
                case ReadManifest():
                    self.manifest = newest_manifest(self._store)
                    published = self.manifest is not None and is_published(self._store, self.manifest)
                    self._tell(ManifestRead(self.manifest, published))
                case LookAtMarkers():
                    self._tell(MarkersSeen(self.sinks.look(order.slot, order.sinks)))
                case OpenPublishers():
                    self._tell(PublishersOpened(self.sinks.open(SLOT, order.sinks)))
                case RepublishOutput():
                    self._slices.append(self._republish(order))
                case SetMarkers():
                    self._slices.append(self._set_markers(order))
                case StartTasks():
                    self._start_tasks(order)
                case InjectBarrier():
                    self._times = EpochTimes(order.epoch)
                    self._work(BarrierInjected(order.epoch, order.drain))
                case WriteManifest():
                    self._write_manifest(order.manifest)
                case CommitEpoch():
                    self._work(EpochCommitted(order.epoch))
                case WriteBase():
                    # The rows are fixed here, before anything else can apply another epoch.
                    self._slices.append(self._write_base(order, self._hosting.store(order.task).rows()))
                case RecordPublished(lineage, epoch):
                    self._background.call(
                        partial(record_published, self._store, lineage, epoch),
                        lambda _: self._tell(PublishedRecorded()),
                    )
                case CollectGarbage():
                    self._background.call(self._collect_garbage, lambda _: None)
                case FinishAttempt():
                    if not order.restart:
                        self.sinks.settle()
                    self.finished = order
            self._on_step(f"after {type(order).__name__}")

    def _republish(self, order: RepublishOutput) -> Generator[None, None, None]:
        manifest = order.manifest
        log.info("publishing what the last run had staged", job=self._plan.name, epoch=manifest.epoch)
        self.sources.place(order.topology)
        outputs = read_staged(self._store, manifest, order.sinks)
        positions = positions_of(read_progress(self._store, manifest))
        for step in self.sinks.publish(Marker(manifest.lineage, manifest.epoch), outputs, positions, self.sources):
            self._on_step(f"republish {step}")
            yield
        self._tell(OutputRepublished())

    def _set_markers(self, order: SetMarkers) -> Generator[None, None, None]:
        for step in self.sinks.publish(order.marker, {sink: [] for sink in order.sinks}, {}, self.sources):
            self._on_step(f"mark {step}")
            yield
        self._tell(MarkersSet())

    def _start_tasks(self, order: StartTasks) -> None:
        for topic in self.sinks.create_topics(order.topology):
            log.info("created a topic", job=self._plan.name, topic=topic)
        self.sources.place(order.topology)
        worker, progress, positions = self._hosting.start(order)
        self.worker = worker
        self.sources.start(positions)
        if self._options.until_end:
            self.sources.fix_ends(timeout=30.0)
        self._do(worker.start(progress))
        self._tell(TasksStarted())

    def _write_manifest(self, manifest: Manifest) -> None:
        def write() -> int:
            try:
                write_manifest(self._store, manifest)
            except ObjectExists:
                # Ours all the same, if the store did it but its answer was lost.
                return read_manifest(self._store, manifest.epoch).attempt
            newest = newest_manifest(self._store)
            if newest is not None and newest.epoch > manifest.epoch:
                # Created anew: a later attempt had committed this epoch, gone on, and deleted its old manifest.
                return newest.attempt
            return manifest.attempt

        def then(attempt: int) -> None:
            if attempt != manifest.attempt:
                self._tell(ManifestConflict(manifest.epoch, attempt))
                return
            self.manifest = manifest
            self._times.committed = time.monotonic()
            self._on_step("manifest written")
            self._tell(ManifestWritten(manifest.epoch))

        self._background.call(write, then)

    def _write_base(self, order: WriteBase, runs: Iterator[Rows]) -> Generator[None, None, None]:
        names: list[str] = []
        size = 0
        for part, rows in enumerate(split_rows(runs, PART_BYTES)):
            name = base_part_name(order.task, order.epoch, self.coordinator.attempt, part)
            buffers = encode_base_part(rows)
            names.append(name)
            size += sum(map(len, buffers))
            done: list[None] = []
            self._background.call(partial(self._store.put, name, buffers), done.append)
            while not done:
                yield
        self._on_step("base written")
        self._tell(BaseWritten(order.task, order.epoch, tuple(names), size))

    def _collect_garbage(self) -> None:
        try:
            collect(self._store, self._options.retain)
        except (
            DamagedObject,
            ObjectMissing,
            CheckpointStoreFailed,
        ) as error:  # it can wait; a checkpoint that is there cannot harm
            log.warning("old checkpoints could not be deleted", job=self._plan.name, reason=error.what, code=error.code)

    # The worker's actions

    def _work(self, event: WorkerEvent) -> None:
        assert self.worker is not None
        self._do(self.worker.handle(event))

    def _do(self, actions: list[WorkerAction]) -> None:
        for action in actions:
            self._on_step(f"before {type(action).__name__}")
            match action:
                case WriteSegment():
                    self._slices.append(self._write_segment(action))
                case AckEpoch(ack):
                    self._tell(ack)
                case PublishEpoch():
                    self._slices.append(self._publish(action))
                case ApplyEpoch():
                    self._apply(action)
                case ReportDone(epoch):
                    self._times.done = time.monotonic()
                    self._on_epoch(self._times)
                    self._tell(EpochDone(SLOT, epoch))
                case AppendOutput(sink, batches):
                    self.sinks.append(sink, batches)
                case RequestBarrier():
                    self._tell(BarrierRequested(SLOT))
                case HoldSources():
                    self._held = True
                    self.sources.hold()
                case ReleaseSources():
                    self._held = False
                    self.sources.release()
            self._on_step(f"after {type(action).__name__}")

    def _write_segment(self, action: WriteSegment) -> Generator[None, None, None]:
        if self._plan.delivery == "at_least_once":
            for step in self.sinks.flush():
                self._on_step(f"flush {step}")
                yield
        writer = SegmentWriter(action.epoch, self.coordinator.attempt, SLOT, action.parts)
        self._background.call(partial(writer.write, self._store), self._on_segment)

    def _on_segment(self, written: SegmentWritten) -> None:
        self._on_step("segment written")
        self._times.size = written.size
        self._work(written)

    def _publish(self, action: PublishEpoch) -> Generator[None, None, None]:
        marker = Marker(self.coordinator.lineage, action.epoch)
        for step in self.sinks.publish(marker, action.outputs, action.positions, self.sources):
            self._on_step(f"publish {step}")
            yield
        self._times.published = time.monotonic()
        self._times.outputs = action.outputs
        self._on_step("published")
        self._work(EpochPublished(action.epoch))

    def _apply(self, action: ApplyEpoch) -> None:
        assert self.worker is not None
        for task in action.tasks:
            self.worker.tasks[task].complete(self._hosting.stamp(task, self.coordinator.lineage, action.epoch))
            self._on_step("applied one task")
        self._work(EpochApplied(action.epoch))
