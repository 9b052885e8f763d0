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
    """Claim the next attempt number, exclusively; then report AttemptClaimed.

    `slots`: those of the attempt's workers. `lineage`: that of its checkpoints if the store is new.
    """

    slots: Sequence[WorkerId]
    lineage: str


@dataclass(frozen=True, slots=True)
class LookAtMarkers:
    """Read the markers without fencing any publisher; then report MarkersSeen."""

    slot: WorkerId
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class OpenPublishers:
    """Fence every publisher that may have used these slots, and read the markers; then report PublishersOpened."""

    slots: Sequence[WorkerId]
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """Read the newest manifest (again); then report ManifestRead."""


@dataclass(frozen=True, slots=True)
class RepublishOutput:
    """Publish the staged output of these sink tasks for the manifest's epoch; then report OutputRepublished."""

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
    """Restore every task's store to the manifest, seek the sources and start; then report TasksStarted.

    `manifest` is None for a job without a checkpoint. The next barrier ends `epoch`.
    """

    attempt: Attempt
    lineage: str
    topology: Topology
    manifest: Manifest | None
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class InjectBarrier:
    """Tell every worker to end this epoch now. `drain`: it is the end of a bounded run, so everything fires."""

    epoch: Epoch
    drain: bool


@dataclass(frozen=True, slots=True)
class WriteManifest:
    """Create the manifest unless it exists; then report ManifestWritten or ManifestConflict."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CommitEpoch:
    """Tell every worker that the epoch is committed."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class WriteBase:
    """Write a full copy of a task's completed state, now at `epoch`, in the background; then report BaseWritten."""

    task: TaskId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RecordPublished:
    """Record durably that everything up to the attempt's last epoch is published; then report PublishedRecorded."""

    lineage: str
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CollectGarbage:
    """Delete, in the background, the objects that no kept checkpoint names."""


@dataclass(frozen=True, slots=True)
class FinishAttempt:
    """The attempt is over: everything is checkpointed and published, or an older attempt has committed its epoch.

    `ending`: how it has ended, whatever was requested after its last barrier.
    """

    ending: AttemptEnding

    @property
    def restart(self) -> bool:
        """Whether to start a new attempt at once."""
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
