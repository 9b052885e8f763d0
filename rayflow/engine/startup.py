"""The start of an attempt: claim, fence, read manifest and markers, publish what is missing, start the tasks.

docs/concepts/exactly-once.md describes the steps, under the names of the phases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import Fenced, InvariantBroken
from rayflow.core.ids import Attempt, Epoch, Marker, SinkTask
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.events import (
    AttemptClaimed,
    ManifestRead,
    MarkersSeen,
    MarkersSet,
    OutputRepublished,
    PublishersOpened,
    StartupEvent,
    TasksStarted,
)
from rayflow.engine.history import History
from rayflow.engine.orders import (
    ClaimAttempt,
    LookAtMarkers,
    OpenPublishers,
    Order,
    ReadManifest,
    RepublishOutput,
    SetMarkers,
    StartTasks,
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
from rayflow.engine.topology import Topology, check_sources, resolve
from rayflow.plan.physical import JobPlan


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """The starting point of an attempt: a checkpoint, or none (`manifest` is None)."""

    lineage: str
    manifest: Manifest | None
    topology: Topology
    history: History

    @property
    def epoch(self) -> Epoch:
        """The last complete epoch; 0 if there is none."""
        return 0 if self.manifest is None else self.manifest.epoch


class Startup:
    """Takes an attempt from its claim to running tasks. Call `begin` first.

    Attributes:
        attempt: 0 until it is claimed.
        point: what the attempt starts from; None until no other attempt can commit any more, and the manifest is read.
    """

    def __init__(self, plan: JobPlan, options: CoordinatorOptions) -> None:
        self.phase = Phase.CLAIMING
        self.attempt: Attempt = 0
        self.point: StartingPoint | None = None
        self._plan = plan
        self._options = options
        self._claim = Claim(0)
        self._markers: Mapping[SinkTask, Marker | None] = {}
        self._opening: OpenPublishers | None = None
        self._missing: list[SinkTask] = []

    def begin(self) -> list[Order]:
        """Claim the attempt."""
        return [ClaimAttempt(self._options.workers, self._options.lineage)]

    def handle(self, event: StartupEvent) -> list[Order]:
        """Handle one event. Raises Fenced, and the errors of `engine.recovery` and `engine.topology`."""
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
                return self._on_manifest(manifest, event.sources)
            case MarkersSeen():
                return self._on_markers(event.markers)
            case PublishersOpened():
                self._enter(Phase.FENCING, Phase.READING_AGAIN)
                self._markers = event.markers
                return [ReadManifest()]
            case OutputRepublished():
                self._enter(Phase.REPUBLISHING, Phase.MARKING)
                point = self._point()
                self._markers = {**self._markers, **dict.fromkeys(self._missing, Marker(point.lineage, point.epoch))}
                return self._mark(point)
            case MarkersSet():
                self._enter(Phase.MARKING, Phase.STARTING)
                return [self._start_tasks(self._point())]
            case TasksStarted():
                self._enter(Phase.STARTING, Phase.RUNNING)
        return []

    def _on_markers(self, markers: Mapping[SinkTask, Marker | None]) -> list[Order]:
        """Read the manifest again: an older attempt may have committed and published its first epoch since the first
        read."""
        if any(marker is not None and marker.epoch > 0 for marker in markers.values()):
            self._enter(Phase.LOOKING, Phase.READING)
            self._markers = markers
            return [ReadManifest()]
        self._enter(Phase.LOOKING, Phase.FENCING)
        assert self._opening is not None
        return [self._opening]

    def _on_manifest(self, manifest: Manifest | None, sources: Mapping[str, int]) -> list[Order]:
        """Handle a manifest. The first read decides which publishers to fence. The second one, when no other attempt
        can commit any more, decides what to resume from."""
        if manifest is not None and manifest.attempt > self.attempt:
            # Retention deletes what an older attempt writes, so it must not resume from a newer one's checkpoint.
            raise Fenced(f"attempt {manifest.attempt} started after this one ({self.attempt})", job=self._plan.name)
        if manifest is not None:
            check_systems(manifest, self._options.systems)
            check_sources(manifest, sources)
            check_states(self._plan, manifest, drop_state=self._options.drop_state)
        topology = resolve(
            self._plan,
            sources,
            None if manifest is None else earlier_partitions(self._plan, manifest),
            allow_new_partitions=self._options.allow_new_partitions,
        )
        opening = self._publishers_of(manifest, topology)
        if self.phase is Phase.READING:
            if manifest is None and opening.sinks and not self._options.new_lineage:
                check_unused(self._plan.name, self._markers)
                self._enter(Phase.READING, Phase.LOOKING)
                self._opening = opening
                return [LookAtMarkers(self._options.workers[0], opening.sinks)]
            self._enter(Phase.READING, Phase.FENCING)
            self._opening = opening
            return [opening]
        if opening != self._opening:  # a newer manifest has other sinks or slots: fence those as well
            self._enter(Phase.READING_AGAIN, Phase.FENCING)
            self._opening = opening
            return [opening]
        return self._start_from(manifest, topology)

    def _publishers_of(self, manifest: Manifest | None, topology: Topology) -> OpenPublishers:
        """The slots that an older attempt may have used, or that this one will use."""
        slots = {*self._claim.slots, *(() if manifest is None else manifest.workers)}
        earlier = [] if manifest is None else sink_tasks_of(manifest)
        return OpenPublishers(sorted(slots), sorted({*self._sinks(topology), *earlier}))

    def _start_from(self, manifest: Manifest | None, topology: Topology) -> list[Order]:
        between = self._plan, topology.stages, manifest
        lineage = self._choose_lineage(manifest)
        history = History(topology.tasks(), manifest, continued_tasks(*between), regrouped_tasks(*between))
        self.point = StartingPoint(lineage, manifest, topology, history)
        if manifest is not None:
            self._missing = unpublished(manifest, self._markers, self._options.lost_marker)
            if self._missing:
                self._enter(Phase.READING_AGAIN, Phase.REPUBLISHING)
                return [RepublishOutput(manifest, topology, self._missing)]
        self._enter(Phase.READING_AGAIN, Phase.MARKING)
        return self._mark(self.point)

    def _choose_lineage(self, manifest: Manifest | None) -> str:
        if manifest is not None:
            return manifest.lineage
        if not self._options.new_lineage:
            check_unused(self._plan.name, self._markers)
        used = {marker.lineage for marker in self._markers.values() if marker is not None and marker.epoch > 0}
        return self._options.lineage if self._claim.lineage in used else self._claim.lineage

    def _mark(self, point: StartingPoint) -> list[Order]:
        """Set missing markers: every sink needs one before its next epoch, so that a later loss is noticed."""
        sinks = unmarked(point.lineage, self._sinks(point.topology), self._markers)
        if sinks:
            return [SetMarkers(Marker(point.lineage, point.epoch), sinks)]
        self._enter(Phase.MARKING, Phase.STARTING)
        return [self._start_tasks(point)]

    def _start_tasks(self, point: StartingPoint) -> StartTasks:
        return StartTasks(self.attempt, point.lineage, point.topology, point.manifest, point.epoch + 1)

    def _sinks(self, topology: Topology) -> list[SinkTask]:
        return topology.sink_tasks(self._plan) if self._plan.delivery == "exactly_once" else []

    def _point(self) -> StartingPoint:
        assert self.point is not None
        return self.point

    def _enter(self, expected: Phase, phase: Phase) -> None:
        if self.phase is not expected:
            raise InvariantBroken(f"the attempt is {self.phase.value}, not {expected.value}", job=self._plan.name)
        self.phase = phase
