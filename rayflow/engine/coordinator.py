"""The coordinator of one attempt: recovers, injects barriers, commits epochs, ends. Pure: events in, orders out.

The protocol is told in docs/concepts/exactly-once.md, whose steps the names here follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from rayflow.checkpoint.base import BaseRef
from rayflow.checkpoint.manifest import Manifest, SinkEntry, StateEntry
from rayflow.core.errors import Fenced, InvariantBroken
from rayflow.core.ids import Attempt, Epoch, Marker, SinkTask, WorkerId
from rayflow.engine.events import (
    AttemptClaimed,
    BarrierRequested,
    BaseWritten,
    EpochDone,
    ManifestConflict,
    ManifestWritten,
    MarkersSeen,
    OutputRepublished,
    PartitionsAdded,
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
    RepublishOutput,
    StartTasks,
    WriteBase,
    WriteManifest,
)
from rayflow.engine.recovery import check_states, check_systems, check_unused, sink_tasks_of, unpublished
from rayflow.engine.regrouping import earlier_partitions
from rayflow.engine.topology import Topology, resolve
from rayflow.plan.fingerprint import fingerprint
from rayflow.plan.physical import JobPlan


@dataclass(frozen=True, slots=True)
class ManifestRead:
    """The newest manifest there is, or None."""

    manifest: Manifest | None


Event = (
    AttemptClaimed
    | ManifestRead
    | MarkersSeen
    | PublishersOpened
    | OutputRepublished
    | TasksStarted
    | Tick
    | BarrierRequested
    | SegmentAcked
    | ManifestWritten
    | ManifestConflict
    | EpochDone
    | BaseWritten
    | SourcesExhausted
    | StopRequested
    | PartitionsAdded
)


class Phase(Enum):
    """Where an attempt is; in this order."""

    CLAIMING = "claiming"
    READING = "reading"
    LOOKING = "looking"
    FENCING = "fencing"
    READING_AGAIN = "reading again"
    REPUBLISHING = "republishing"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class CoordinatorOptions:
    """What the coordinator is told of a run.

    `interval` in ms; `lineage` is used when there is no checkpoint yet; `systems`: which system each source is read
    from (`Connector.identity`).
    """

    lineage: str
    interval: int
    workers: tuple[WorkerId, ...] = (0,)
    systems: Mapping[str, str] = field(default_factory=dict)
    drop_state: bool = False
    allow_new_partitions: bool = False
    new_lineage: bool = False
    lost_marker: Literal["republish", "skip"] | None = None


class Coordinator:
    """Takes one attempt from its claim to its end; one epoch is on its way at a time.

    `start()` first. Errors that it raises end the attempt: nothing that it ordered before is lost by that.
    """

    def __init__(self, plan: JobPlan, sources: Mapping[str, int], options: CoordinatorOptions) -> None:
        """`sources`: the number of partitions that each source has now."""
        self.phase = Phase.CLAIMING
        self.epoch: Epoch = 0
        self.attempt: Attempt = 0
        self._plan = plan
        self._sources = dict(sources)
        self._options = options
        self._manifest: Manifest | None = None
        self._topology: Topology | None = None
        self._history = History([], None)
        self._acks: dict[WorkerId, SegmentAcked] = {}
        self._done: set[WorkerId] = set()
        self._under_way = False
        self._written: Manifest | None = None
        self._last_barrier: int | None = None
        self._now = 0
        self._requested = False
        self._ending: Literal["stop", "drain", "restart"] | None = None
        self._final: Epoch | None = None
        self._markers: Mapping[SinkTask, Marker | None] = {}
        self._opening: OpenPublishers | None = None
        self._base_under_way = False

    def start(self) -> list[Order]:
        """Begin the attempt."""
        return [ClaimAttempt()]

    def handle(self, event: Event) -> list[Order]:
        """Take one event. Raises Fenced, and what recovery may refuse (see `engine.recovery`, `engine.topology`)."""
        match event:
            case AttemptClaimed():
                self._enter(Phase.CLAIMING, Phase.READING)
                self.attempt = event.attempt
                return [ReadManifest()]
            case ManifestRead():
                return self._on_manifest(event.manifest)
            case MarkersSeen():
                self._enter(Phase.LOOKING, Phase.FENCING)
                check_unused(self._plan.name, event.markers)
                assert self._opening is not None
                return [self._opening]
            case PublishersOpened():
                self._enter(Phase.FENCING, Phase.READING_AGAIN)
                self._markers = event.markers
                return [ReadManifest()]
            case OutputRepublished():
                self._enter(Phase.REPUBLISHING, Phase.STARTING)
                return [self._start_tasks()]
            case TasksStarted():
                self._enter(Phase.STARTING, Phase.RUNNING)
                return [] if self._ending is None else self._tick(True)
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
            case BaseWritten():
                self._base_under_way = False
                self._history.on_base(event.task, BaseRef(event.epoch, event.parts, event.size), self.epoch)
                return []
            case SourcesExhausted():
                return self._end("drain")
            case StopRequested():
                return self._end("stop")
            case PartitionsAdded():
                return self._end("restart")

    @property
    def lineage(self) -> str:
        """The lineage of checkpoints that this attempt goes on with."""
        return self._options.lineage if self._manifest is None else self._manifest.lineage

    @property
    def final_barrier_sent(self) -> bool:
        """Whether the last barrier is out: what is read from now on belongs to nobody."""
        return self._final is not None

    def _on_manifest(self, manifest: Manifest | None) -> list[Order]:
        """First to know which publishers to fence, then, when nobody else can commit any more, to go on from."""
        self._manifest = manifest
        if manifest is not None and manifest.attempt > self.attempt:
            # Retention takes what an older attempt writes for garbage: it must not go on from a newer one's checkpoint.
            raise Fenced(f"attempt {manifest.attempt} has begun after this one ({self.attempt})", job=self._plan.name)
        if manifest is not None:
            check_systems(manifest, self._options.systems)
            check_states(self._plan, manifest, drop_state=self._options.drop_state)
        self._topology = resolve(
            self._plan,
            self._sources,
            None if manifest is None else earlier_partitions(self._plan, manifest),
            allow_new_partitions=self._options.allow_new_partitions,
        )
        slots = set(self._options.workers) | set(() if manifest is None else manifest.workers)
        opening = OpenPublishers(sorted(slots), self._sinks_to_read())
        if self.phase is Phase.READING:
            if manifest is None and opening.sinks and not self._options.new_lineage:
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
        self._enter(Phase.READING_AGAIN, Phase.REPUBLISHING)
        self.epoch = 0 if manifest is None else manifest.epoch
        self._history = History(self._topology.tasks(), manifest)
        missing = [] if manifest is None else unpublished(manifest, self._markers, self._options.lost_marker)
        if manifest is not None and missing:
            return [RepublishOutput(manifest, self._topology, missing)]
        self._enter(Phase.REPUBLISHING, Phase.STARTING)
        return [self._start_tasks()]

    def _sinks_to_read(self) -> list[SinkTask]:
        assert self._topology is not None
        sinks = set(self._topology.sink_tasks(self._plan)) if self._plan.delivery == "exactly_once" else set()
        if self._manifest is not None:
            sinks |= set(sink_tasks_of(self._manifest))
        return sorted(sinks)

    def _start_tasks(self) -> StartTasks:
        assert self._topology is not None
        return StartTasks(self.attempt, self.lineage, self._topology, self._manifest, self.epoch + 1)

    def _tick(self, busy: bool) -> list[Order]:
        if self.phase is not Phase.RUNNING or self._under_way:
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

    def _inject(self, *, drain: bool) -> list[Order]:
        self._last_barrier = self._now
        self._requested = False
        self._under_way = True
        self.epoch += 1
        self._acks = {}
        self._done = set()
        return [InjectBarrier(self.epoch, drain)]

    def _end(self, how: Literal["stop", "drain", "restart"]) -> list[Order]:
        if self._ending is None:
            self._ending = how
        if self.phase is not Phase.RUNNING:
            return []
        return self._tick(True)

    def _on_ack(self, event: SegmentAcked) -> list[Order]:
        self._expect(event.epoch)
        self._acks[event.worker] = event
        if len(self._acks) < len(self._options.workers):
            return []
        acks = [self._acks[worker] for worker in sorted(self._acks)]
        sizes = {task: size for ack in acks for task, size in ack.delta_bytes.items()}
        self._history.on_epoch(event.epoch, tuple(ack.name for ack in acks), sizes)
        manifest = self._make_manifest(acks)
        self._written = manifest
        return [WriteManifest(manifest)]

    def _on_conflict(self, event: ManifestConflict) -> list[Order]:
        """An older attempt may still commit the epoch that it had on its way when it was fenced: go on from there."""
        if event.attempt is None or event.attempt > self.attempt:
            raise Fenced(
                f"another process has committed epoch {event.epoch} (this one is attempt {self.attempt})",
                job=self._plan.name,
            )
        self._under_way = False
        self.phase = Phase.FINISHED
        return [FinishAttempt(restart=True)]

    def _make_manifest(self, acks: list[SegmentAcked]) -> Manifest:
        assert self._topology is not None
        before = {} if self._manifest is None else self._manifest.sinks
        exactly_once = self._plan.delivery == "exactly_once"
        return Manifest(
            job=self._plan.name,
            lineage=self.lineage,
            epoch=self.epoch,
            attempt=self.attempt,
            created=self._now,
            plan=fingerprint(self._plan),
            states={
                f"{operator.id}/{spec.name}": StateEntry(spec.kind, spec.ttl, stage.id)
                for stage in self._plan.stages
                for operator in stage.operators
                for spec in operator.states
            },
            stages=dict(self._topology.stages),
            source_partitions=dict(self._topology.sources),
            workers=self._options.workers,
            delivery=self._plan.delivery,
            segments=dict(self._history.segments),
            outputs=tuple(ack.output for ack in acks if ack.output is not None),
            bases=self._history.bases,
            sinks={
                sink.operator: self._sink_entry(before.get(sink.operator), self._topology.stages[stage.id])
                for stage in self._plan.stages
                for sink in stage.sinks
                if exactly_once
            },
            systems=dict(self._options.systems),
            published=self.epoch - 1 if exactly_once else self.epoch,
            bytes=sum(ack.size for ack in acks),
            restored_from=None if self._manifest is None else self._manifest.restored_from,
        )

    def _sink_entry(self, before: SinkEntry | None, tasks: int) -> SinkEntry:
        """A sink that has gained tasks is like a new one: theirs have no marker yet, and none of them is lost."""
        return before if before is not None and before.tasks == tasks else SinkEntry(tasks, self.epoch)

    def _on_done(self, event: EpochDone) -> list[Order]:
        self._expect(event.epoch)
        self._done.add(event.worker)
        if len(self._done) < len(self._options.workers):
            return []
        self._manifest = self._written
        self._under_way = False
        orders: list[Order] = [CollectGarbage()]
        if self._final == self.epoch:
            self.phase = Phase.FINISHED
            return [*orders, FinishAttempt(restart=self._ending == "restart")]
        task = None if self._base_under_way else self._history.wants_base(self.epoch)
        if task is not None:
            self._base_under_way = True
            orders.append(WriteBase(task, self.epoch))
        if self._requested or self._ending is not None:
            orders.extend(self._tick(True))
        return orders

    def _enter(self, expected: Phase, phase: Phase) -> None:
        if self.phase is not expected:
            raise InvariantBroken(f"the attempt is {self.phase.value}, not {expected.value}", job=self._plan.name)
        self.phase = phase

    def _expect(self, epoch: Epoch) -> None:
        if not self._under_way or epoch != self.epoch:
            raise InvariantBroken(f"epoch {epoch} was reported while epoch {self.epoch} is open", job=self._plan.name)

    def validate(self) -> None:
        """Raises InvariantBroken for a state that must not occur. Called after each step in tests."""
        if self._under_way and self.phase is not Phase.RUNNING:
            raise InvariantBroken("an epoch is on its way outside of a running attempt")
        if self._done and len(self._acks) < len(self._options.workers):
            raise InvariantBroken(f"epoch {self.epoch} is done at a worker before it was committed")
        recovering = self.phase in (Phase.READING, Phase.LOOKING, Phase.FENCING, Phase.READING_AGAIN)
        if recovering or self._manifest is None:
            return
        if self.epoch not in (self._manifest.epoch, self._manifest.epoch + 1):
            raise InvariantBroken(f"epoch {self.epoch} does not follow the manifest of epoch {self._manifest.epoch}")
