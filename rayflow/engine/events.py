"""The events of tasks, workers and the coordinator: small frozen dataclasses, their only input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.manifest import Manifest
from rayflow.core.batch import Batch
from rayflow.core.ids import Attempt, ChannelId, Epoch, Marker, SinkTask, TaskId, WorkerId
from rayflow.engine.barrier_schedule import JobEnding
from rayflow.operators.calling import Outcome

# What travels on a channel between two tasks, in order


@dataclass(frozen=True, slots=True)
class BatchReceived:
    """Records arrived on one input channel."""

    channel: ChannelId
    batch: Batch


@dataclass(frozen=True, slots=True)
class WatermarkReceived:
    """Event time advanced on one input channel, which is active again if it was idle."""

    channel: ChannelId
    watermark: int


@dataclass(frozen=True, slots=True)
class IdleReceived:
    """One input channel is idle: it does not hold event time back until its next watermark."""

    channel: ChannelId


@dataclass(frozen=True, slots=True)
class BarrierReceived:
    """A barrier arrived on one input channel. `drain`: it ends a bounded run, so everything fires before it is passed
    on."""

    channel: ChannelId
    epoch: Epoch
    drain: bool = False


ChannelEvent: TypeAlias = BatchReceived | WatermarkReceived | IdleReceived | BarrierReceived


# What reaches a worker


@dataclass(frozen=True, slots=True)
class RecordsPolled:
    """A source delivered undecoded records of the partition that `task` reads; reading continues at `next_position`."""

    task: TaskId
    source: str
    batch: Batch
    next_position: int


@dataclass(frozen=True, slots=True)
class BarrierInjected:
    """The coordinator ends an epoch, for every task that reads a source.

    One task takes the barrier at once, the others with BarrierContinued, as long as `Worker.sealing` holds. `drain`: it
    ends a bounded run. `last`: it ends the attempt, which reads nothing after it.
    """

    epoch: Epoch
    drain: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class BarrierContinued:
    """The next task may take the barrier. Sealing all of a worker's tasks at once would delay records for too long."""


@dataclass(frozen=True, slots=True)
class Listened:
    """The period of wall-clock time (ms) in which the sources were polled without a break, and the (task, source) pairs
    whose records have arrived in it but are not delivered yet."""

    since: int
    until: int
    undelivered: frozenset[tuple[TaskId, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class ClockAdvanced:
    """The wall clock is at `now` (ms). `listened`: None if everything that had arrived by then was delivered."""

    now: int
    listened: Listened | None = None


@dataclass(frozen=True, slots=True)
class SegmentWritten:
    """The worker's segment of an epoch is durable under `name`. `output`: the name of its staged output, if any."""

    epoch: Epoch
    name: str
    output: str | None
    size: int
    delta_bytes: Mapping[TaskId, int]


@dataclass(frozen=True, slots=True)
class EpochCommitted:
    """The manifest of an epoch is durable: apply and publish the epoch."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class EpochApplied:
    """The deltas of an epoch are in the stores of all the worker's tasks."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class EpochPublished:
    """The staged output of an epoch is visible, with its markers."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CallsDone:
    """Outcomes of calls that an operator requested with StartCalls, which states the driver's duties.

    Each call of the attempt occurs once, whatever its outcome. The operator may emit, release event time and request
    more calls. An outcome of a call that it did not request breaks an invariant.
    """

    task: TaskId
    operator: str
    outcomes: Sequence[Outcome]


WorkerEvent: TypeAlias = (
    RecordsPolled
    | CallsDone
    | BarrierInjected
    | BarrierContinued
    | ClockAdvanced
    | SegmentWritten
    | EpochCommitted
    | EpochApplied
    | EpochPublished
    | BatchReceived
    | WatermarkReceived
    | IdleReceived
    | BarrierReceived
)


# What reaches the coordinator


@dataclass(frozen=True, slots=True)
class AttemptClaimed:
    """The attempt number is claimed."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class MarkersSeen:
    """The markers of the sink tasks of a job without a checkpoint."""

    markers: Mapping[SinkTask, Marker | None]


@dataclass(frozen=True, slots=True)
class PublishersOpened:
    """Every older publisher is fenced; these are the markers of the sink tasks."""

    markers: Mapping[SinkTask, Marker | None]


@dataclass(frozen=True, slots=True)
class OutputRepublished:
    """The output that the last epoch staged but did not publish is visible now."""


@dataclass(frozen=True, slots=True)
class MarkersSet:
    """Every sink task has a marker of the attempt's lineage."""


@dataclass(frozen=True, slots=True)
class TasksStarted:
    """All tasks are restored and read from their positions."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The wall clock is at `now` (ms). `changed`: records or timers have been processed since the last barrier."""

    now: int
    changed: bool


@dataclass(frozen=True, slots=True)
class BarrierRequested:
    """End the epoch now: a worker is short of memory, or somebody asks for a checkpoint."""


@dataclass(frozen=True, slots=True)
class SegmentAcked:
    """A worker's part of an epoch is durable."""

    worker: WorkerId
    epoch: Epoch
    name: str
    output: str | None
    size: int
    delta_bytes: Mapping[TaskId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ManifestWritten:
    """The manifest of an epoch is durable: the epoch is committed."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class ManifestConflict:
    """Another attempt, a newer or a zombie one, has written the manifest of this epoch."""

    epoch: Epoch
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class EpochDone:
    """A worker has applied and published an epoch."""

    worker: WorkerId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class PublishedRecorded:
    """The store has a durable record that the attempt's last epoch is published."""


@dataclass(frozen=True, slots=True)
class BaseWritten:
    """A full copy of a task's state as of `epoch` is durable."""

    task: TaskId
    epoch: Epoch
    parts: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class SourcesExhausted:
    """A bounded run has read all sources up to their end positions: drain, unless a stop was requested."""


@dataclass(frozen=True, slots=True)
class EndRequested:
    """End the job after a final checkpoint. A drain replaces a stop whose barrier was not sent yet."""

    ending: JobEnding


@dataclass(frozen=True, slots=True)
class PartitionsAdded:
    """A source has more partitions than this attempt reads: checkpoint, then start a new attempt."""


@dataclass(frozen=True, slots=True)
class ManifestRead:
    """The newest manifest, or None, and then the number of partitions of each source.

    They are counted after the manifest is read: partitions are only ever added, so none that it has positions of is
    missing. `published`: whether its own epoch is known to be published.
    """

    manifest: Manifest | None
    sources: Mapping[str, int]
    published: bool = False


StartupEvent: TypeAlias = (
    AttemptClaimed | ManifestRead | MarkersSeen | PublishersOpened | OutputRepublished | MarkersSet | TasksStarted
)
"""The events that the coordinator takes until its tasks run, in this order; some reads repeat."""
EpochEvent: TypeAlias = SegmentAcked | ManifestWritten | ManifestConflict | EpochDone | PublishedRecorded | BaseWritten
"""The events that it takes afterwards, besides ticks and requests."""
CoordinatorEvent: TypeAlias = (
    StartupEvent | EpochEvent | Tick | BarrierRequested | SourcesExhausted | EndRequested | PartitionsAdded
)
