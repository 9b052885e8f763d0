"""The orders of the coordinator; a runtime turns each into I/O or a message to the workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.ids import Attempt, Epoch, Marker, SinkTask, TaskId, WorkerId
from rayflow.engine.barrier_schedule import AttemptEnding
from rayflow.engine.topology import Topology


@dataclass(frozen=True, slots=True)
class ClaimAttempt:
    """Claim the next attempt number, ours alone; then report AttemptClaimed.

    `slots`: those of the attempt's workers. `lineage`: of its checkpoints, should the store be new.
    """

    slots: Sequence[WorkerId]
    lineage: str


@dataclass(frozen=True, slots=True)
class LookAtMarkers:
    """Read the markers without fencing anybody; then report MarkersSeen."""

    slot: WorkerId
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class OpenPublishers:
    """Fence every publisher that these slots may have had, read the markers; then report PublishersOpened."""

    slots: Sequence[WorkerId]
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """Read the newest manifest (again); then report ManifestRead."""


@dataclass(frozen=True, slots=True)
class RepublishOutput:
    """Publish what these sink tasks staged for the manifest's epoch; then report OutputRepublished."""

    manifest: Manifest
    topology: Topology
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class SetMarkers:
    """Set the marker of these sink tasks, without output; then report MarkersSet."""

    marker: Marker
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class StartTasks:
    """Bring every task's store to the manifest, seek the sources and start; then report TasksStarted.

    `manifest` is None for a job that has no checkpoint yet. The next barrier ends `epoch`.
    """

    attempt: Attempt
    lineage: str
    topology: Topology
    manifest: Manifest | None
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class InjectBarrier:
    """To every worker: this epoch ends now. `drain`: for good, with everything fired."""

    epoch: Epoch
    drain: bool


@dataclass(frozen=True, slots=True)
class WriteManifest:
    """Create the manifest if nobody else has; then report ManifestWritten or ManifestConflict."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CommitEpoch:
    """To every worker: the epoch is committed."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class WriteBase:
    """Write a full copy of a task's completed state, now at `epoch`, in the background; then report BaseWritten."""

    task: TaskId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RecordPublished:
    """Note durably that everything up to the attempt's last epoch is published; then report PublishedRecorded."""

    lineage: str
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CollectGarbage:
    """Delete, in the background, what no kept checkpoint names."""


@dataclass(frozen=True, slots=True)
class FinishAttempt:
    """The attempt is over: everything is checkpointed and published, or an older attempt has committed its epoch.

    `ending`: how it has ended, whatever was asked for after its last barrier.
    """

    ending: AttemptEnding

    @property
    def restart(self) -> bool:
        """Whether to begin a new attempt at once."""
        return self.ending == "restart"


Order: TypeAlias = (
    ClaimAttempt
    | LookAtMarkers
    | OpenPublishers
    | ReadManifest
    | RepublishOutput
    | SetMarkers
    | StartTasks
    | InjectBarrier
    | WriteManifest
    | CommitEpoch
    | WriteBase
    | RecordPublished
    | CollectGarbage
    | FinishAttempt
)
