"""The coordinator of one attempt: recovers, injects barriers, commits epochs, ends. Pure: events in, orders out.

The protocol is told in docs/concepts/exactly-once.md, whose steps the names here follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from rayflow.checkpoint.bases import BaseRef
from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import Fenced, InvariantBroken
from rayflow.core.ids import Attempt, Epoch, Marker, SinkTask, TaskId, WorkerId
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.entries import sink_entries, state_entries
from rayflow.engine.events import (
    AttemptClaimed,
    BarrierRequested,
    BaseWritten,
    CoordinatorEvent,
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
from rayflow.engine.history import History
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
from rayflow.engine.phase import Phase
from rayflow.engine.recovery import (
    check_states,
    check_systems,
    check_unused,
    sink_tasks_of,
    unmarked,
    unpublished,
)
from rayflow.engine.regrouping import continued_tasks, earlier_partitions, regrouped_tasks
from rayflow.engine.topology import Topology, resolve
from rayflow.plan.fingerprint import fingerprint
from rayflow.plan.physical import JobPlan


class Coordinator:
    """Takes one attempt from its claim to its end; one epoch is in flight at a time.

    `lineage`: that of the checkpoints that it goes on with, once it is known.

    `start()` first. Errors that it raises end the attempt: nothing that it ordered before is lost by that.
    """

    def __init__(self, plan: JobPlan, sources: Mapping[str, int], options: CoordinatorOptions) -> None:
        """`sources`: the number of partitions that each source has now."""
        self.phase = Phase.CLAIMING
        self.epoch: Epoch = 0
        self.attempt: Attempt = 0
        self.lineage = ""
        self._plan = plan
        self._sources = dict(sources)
        self._options = options
        self._claim = Claim(0)
        self._manifest: Manifest | None = None
        self._topology: Topology | None = None
        self._history = History([], None)
        self._acks: dict[WorkerId, SegmentAcked] = {}
        self._done: set[WorkerId] = set()
        self._epoch_in_flight = False
        self._written: Manifest | None = None
        self._last_barrier: int | None = None
        self._now = 0
        self._requested = False
        self._ending: Literal["stop", "drain", "restart"] | None = None
        self._final: Epoch | None = None
        self._markers: Mapping[SinkTask, Marker | None] = {}
        self._missing: list[SinkTask] = []
        self._opening: OpenPublishers | None = None
        self._bases_in_flight: set[TaskId] = set()

    def start(self) -> list[Order]:
        """Begin the attempt."""
        return [ClaimAttempt(self._options.workers, self._options.lineage)]

    def handle(self, event: CoordinatorEvent) -> list[Order]:
        """Take one event. Raises Fenced, and what recovery may refuse (see `engine.recovery`, `engine.topology`)."""
        match event:
            case AttemptClaimed():
                self._enter(Phase.CLAIMING, Phase.READING)
                self.attempt = event.claim.attempt
                self._claim = event.claim
                return [ReadManifest()]
            case ManifestRead():
                manifest = event.manifest
                if manifest is not None and event.published:
                    manifest = replace(manifest, outputs=())
                return self._on_manifest(manifest)
            case MarkersSeen():
                return self._on_markers(event.markers)
            case PublishersOpened():
                self._enter(Phase.FENCING, Phase.READING_AGAIN)
                self._markers = event.markers
                return [ReadManifest()]
            case OutputRepublished():
                self._enter(Phase.REPUBLISHING, Phase.MARKING)
                self._markers = {**self._markers, **dict.fromkeys(self._missing, Marker(self.lineage, self.epoch))}
                return self._mark()
            case MarkersSet():
                self._enter(Phase.MARKING, Phase.STARTING)
                return [self._start_tasks()]
            case TasksStarted():
                self._enter(Phase.STARTING, Phase.RUNNING)
                bases = [WriteBase(task, self.epoch) for task in sorted(self._history.owed)]
                return [*bases, *self._tick_if_asked()]
            case Tick():
                self._now = event.now
                return self._tick(event.busy)
            case BarrierRequested():
                self._requested = True
                return self._tick(True)
            case SegmentAcked():
                return self._on_ack(event)
            case ManifestWritten():
                self._expect(event.epoch)
                return [CommitEpoch(event.epoch)]
            case ManifestConflict():
                return self._on_conflict(event)
            case EpochDone():
                return self._on_done(event)
            case PublishedRecorded():
                return [self._finish(Phase.CLOSING)]
            case BaseWritten():
                self._bases_in_flight.discard(event.task)
                self._history.on_base(event.task, BaseRef(event.epoch, event.parts, event.size), self.epoch)
                return self._tick_if_asked()
            case SourcesExhausted():
                return self._end("drain")
            case StopRequested():
                return self._end("stop")
            case PartitionsAdded():
                return self._end("restart")

    @property
    def final_barrier_sent(self) -> bool:
        """Whether the last barrier is out: what is read from now on belongs to nobody."""
        return self._final is not None

    def _on_markers(self, markers: Mapping[SinkTask, Marker | None]) -> list[Order]:
        """An older attempt may have committed and published its first epoch since the manifest was read: read again."""
        if any(marker is not None and marker.epoch > 0 for marker in markers.values()):
            self._enter(Phase.LOOKING, Phase.READING)
            self._markers = markers
            return [ReadManifest()]
        self._enter(Phase.LOOKING, Phase.FENCING)
        assert self._opening is not None
        return [self._opening]

    def _on_manifest(self, manifest: Manifest | None) -> list[Order]:
        """First to know which publishers to fence, then, when nobody else can commit any more, to go on from."""
        self._manifest = manifest
        if manifest is not None and manifest.attempt > self.attempt:
            # Retention takes what an older attempt writes for garbage: it must not go on from a newer one's checkpoint.
            raise Fenced(f"attempt {manifest.attempt} started after this one ({self.attempt})", job=self._plan.name)
        if manifest is not None:
            check_systems(manifest, self._options.systems)
            check_states(self._plan, manifest, drop_state=self._options.drop_state)
        self._topology = resolve(
            self._plan,
            self._sources,
            None if manifest is None else earlier_partitions(self._plan, manifest),
            allow_new_partitions=self._options.allow_new_partitions,
        )
        slots = set(self._claim.slots) | set(() if manifest is None else manifest.workers)
        opening = OpenPublishers(sorted(slots), self._sinks_to_read())
        if self.phase is Phase.READING:
            if manifest is None and opening.sinks and not self._options.new_lineage:
                check_unused(self._plan.name, self._markers)
                self._enter(Phase.READING, Phase.LOOKING)
                self._opening = opening
                return [LookAtMarkers(self._options.workers[0], opening.sinks)]
            self._enter(Phase.READING, Phase.FENCING)
            self._opening = opening
            return [opening]
        if opening != self._opening:  # a manifest came in between with other sinks or slots: fence those as well
            self._enter(Phase.READING_AGAIN, Phase.FENCING)
            self._opening = opening
            return [opening]
        self.lineage = self._choose_lineage()
        between = self._plan, self._topology.stages, manifest
        self._history = History(self._topology.tasks(), manifest, continued_tasks(*between), regrouped_tasks(*between))
        if manifest is not None:
            self.epoch = manifest.epoch
            self._missing = unpublished(manifest, self._markers, self._options.lost_marker)
            if self._missing:
                self._enter(Phase.READING_AGAIN, Phase.REPUBLISHING)
                return [RepublishOutput(manifest, self._topology, self._missing)]
        self._enter(Phase.READING_AGAIN, Phase.MARKING)
        return self._mark()

    def _choose_lineage(self) -> str:
        if self._manifest is not None:
            return self._manifest.lineage
        if not self._options.new_lineage:
            check_unused(self._plan.name, self._markers)
        used = {marker.lineage for marker in self._markers.values() if marker is not None and marker.epoch > 0}
        return self._options.lineage if self._claim.lineage in used else self._claim.lineage

    def _mark(self) -> list[Order]:
        """See that every sink has a marker before its next epoch, so that one that is lost later on can be told."""
        sinks = unmarked(self.lineage, self._sinks(), self._markers)
        if sinks:
            return [SetMarkers(Marker(self.lineage, self.epoch), sinks)]
        self._enter(Phase.MARKING, Phase.STARTING)
        return [self._start_tasks()]

    def _sinks(self) -> list[SinkTask]:
        assert self._topology is not None
        return self._topology.sink_tasks(self._plan) if self._plan.delivery == "exactly_once" else []

    def _sinks_to_read(self) -> list[SinkTask]:
        earlier = [] if self._manifest is None else sink_tasks_of(self._manifest)
        return sorted({*self._sinks(), *earlier})

    def _start_tasks(self) -> StartTasks:
        assert self._topology is not None
        return StartTasks(self.attempt, self.lineage, self._topology, self._manifest, self.epoch + 1)

    def _tick(self, busy: bool) -> list[Order]:
        if self.phase is not Phase.RUNNING or self._epoch_in_flight or self._history.owed:
            return []
        if self._last_barrier is None or self._now < self._last_barrier:  # the first tick, or a clock set back
            self._last_barrier = self._now
        due = self._now - self._last_barrier >= self._options.interval
        owed = self._manifest is not None and bool(self._manifest.outputs)
        if self._ending is None and not self._requested and not (due and (busy or owed)):
            return []
        if self._ending is not None:
            self._final = self.epoch + 1
        return self._inject(drain=self._ending == "drain")

    def _tick_if_asked(self) -> list[Order]:
        return self._tick(True) if self._requested or self._ending is not None else []

    def _inject(self, *, drain: bool) -> list[Order]:
        self._last_barrier = self._now
        self._requested = False
        self._epoch_in_flight = True
        self.epoch += 1
        self._acks = {}
        self._done = set()
        return [InjectBarrier(self.epoch, drain)]

    def _end(self, how: Literal["stop", "drain", "restart"]) -> list[Order]:
        if self._ending is None:
            self._ending = how
        return self._tick(True)

    def _on_ack(self, event: SegmentAcked) -> list[Order]:
        self._expect(event.epoch)
        self._acks[event.worker] = event
        if len(self._acks) < len(self._options.workers):
            return []
        acks = [self._acks[worker] for worker in sorted(self._acks)]
        sizes = {task: size for ack in acks for task, size in ack.delta_bytes.items()}
        self._history.on_epoch(event.epoch, tuple(ack.name for ack in acks), sizes)
        assert self._topology is not None
        self._written = Manifest(
            job=self._plan.name,
            lineage=self.lineage,
            epoch=self.epoch,
            attempt=self.attempt,
            created=self._now,
            plan=fingerprint(self._plan),
            states=state_entries(self._plan),
            stages=dict(self._topology.stages),
            source_partitions=dict(self._topology.sources),
            workers=self._options.workers,
            delivery=self._plan.delivery,
            segments=dict(self._history.segments),
            outputs=tuple(ack.output for ack in acks if ack.output is not None),
            bases=self._history.bases,
            sinks=sink_entries(self._plan, self._topology),
            systems=dict(self._options.systems),
            published=self.epoch - (self._plan.delivery == "exactly_once"),
            bytes=sum(ack.size for ack in acks),
            restored_from=None if self._manifest is None else self._manifest.restored_from,
        )
        return [WriteManifest(self._written)]

    def _on_conflict(self, event: ManifestConflict) -> list[Order]:
        """An older attempt may still commit the epoch that it had in flight when it was fenced: go on from there."""
        if event.attempt is None or event.attempt > self.attempt:
            raise Fenced(
                f"another process has committed epoch {event.epoch} (this one is attempt {self.attempt})",
                job=self._plan.name,
            )
        self._epoch_in_flight = False
        self.phase = Phase.FINISHED
        return [FinishAttempt(restart=True)]

    def _on_done(self, event: EpochDone) -> list[Order]:
        self._expect(event.epoch)
        self._done.add(event.worker)
        if len(self._done) < len(self._options.workers):
            return []
        assert self._written is not None
        self._manifest = self._written
        self._epoch_in_flight = False
        orders: list[Order] = [CollectGarbage()]
        if self._final == self.epoch:
            if self._written.published < self.epoch:
                self._enter(Phase.RUNNING, Phase.CLOSING)
                return [RecordPublished(self.lineage, self.epoch), *orders]
            return [*orders, self._finish(Phase.RUNNING)]
        tasks = self._history.wants_bases(self.epoch, self._bases_in_flight)
        self._bases_in_flight.update(tasks)
        orders += [WriteBase(task, self.epoch) for task in tasks]
        return [*orders, *self._tick_if_asked()]

    def _finish(self, expected: Phase) -> FinishAttempt:
        self._enter(expected, Phase.FINISHED)
        return FinishAttempt(restart=self._ending == "restart")

    def _enter(self, expected: Phase, phase: Phase) -> None:
        if self.phase is not expected:
            raise InvariantBroken(f"the attempt is {self.phase.value}, not {expected.value}", job=self._plan.name)
        self.phase = phase

    def _expect(self, epoch: Epoch) -> None:
        if not self._epoch_in_flight or epoch != self.epoch:
            raise InvariantBroken(f"epoch {epoch} was reported while epoch {self.epoch} is open", job=self._plan.name)

    def validate(self) -> None:
        """Raises InvariantBroken for a state that must not occur. Called after each step in tests."""
        if self._epoch_in_flight and self.phase is not Phase.RUNNING:
            raise InvariantBroken("an epoch is in flight outside of a running attempt")
        if self._epoch_in_flight and self._history.owed:
            raise InvariantBroken("an epoch is in flight before every regrouped task has its base")
        if self._done and len(self._acks) < len(self._options.workers):
            raise InvariantBroken(f"epoch {self.epoch} is done at a worker before it was committed")
        recovering = self.phase in (Phase.READING, Phase.LOOKING, Phase.FENCING, Phase.READING_AGAIN)
        if recovering or self._manifest is None:
            return
        if self.epoch not in (self._manifest.epoch, self._manifest.epoch + 1):
            raise InvariantBroken(f"epoch {self.epoch} does not follow the manifest of epoch {self._manifest.epoch}")
