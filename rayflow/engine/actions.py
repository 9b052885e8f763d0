"""The actions of the engine: a runtime turns each into I/O, a message or a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rayflow.checkpoint.sealed import TaskSealed
from rayflow.core.batch import Batch, EncodedBatch
from rayflow.core.ids import Epoch, SinkTask, TaskId, WorkerId
from rayflow.engine.events import ChannelEvent, SegmentAcked
from rayflow.operators.calling import Call

# What a task asks of its worker


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Records for one partition of an exchange's downstream stage."""

    exchange: str
    target: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class SendWatermark:
    """Event time, to every partition of an exchange's downstream stage."""

    exchange: str
    watermark: int


@dataclass(frozen=True, slots=True)
class SendIdle:
    """All inputs are idle: to every partition of an exchange's downstream stage."""

    exchange: str


@dataclass(frozen=True, slots=True)
class SendBarrier:
    """The epoch's barrier, to every partition of an exchange's downstream stage."""

    exchange: str
    epoch: Epoch
    drain: bool


@dataclass(frozen=True, slots=True)
class EpochSealed:
    """The task's part of an epoch: delta, staged output and progress; and the memory that it takes (an estimate)."""

    epoch: Epoch
    sealed: TaskSealed
    bytes: int


@dataclass(frozen=True, slots=True)
class AppendOutput:
    """At-least-once: publish now."""

    sink: SinkTask
    batches: Sequence[EncodedBatch]


@dataclass(frozen=True, slots=True)
class StartCalls:
    """Make calls for an operator, and report what comes of them as CallsDone, of one call or of several, in any order.

    What a driver owes each call:

    - It calls `fn(argument)` away from the worker, which continues meanwhile, and awaits what that returns if it can be
      awaited. The argument is part of the state: it is not changed. What is raised is the outcome's error, never the
      driver's own. A limit of time, and trying again, are the function's affair, or that of what wraps it.
    - It gives the worker exactly one outcome for each call, between two other events, on the thread that it runs in.
    - It never gives an outcome to another attempt than the one that asked: when an attempt ends, by a crash or by
      order, what is still out is forgotten. The next attempt asks again for what its checkpoint holds, under the same
      numbers; so a call may be made twice, and its outcome counts once.
    - It lets no barrier wait: an epoch is sealed with calls in flight. Only the barrier that ends a bounded run is held
      by a task until its calls are done; the driver keeps delivering outcomes after it, until the segment is written.
    - It gives no records to the tasks of `Worker.saturated` and what feeds them (`Worker.waiting`) until outcomes have
      come: the operator bounds the calls that are made at once, and what waits for its turn takes state. But what
      stands in a channel before a barrier, a task of `Worker.owing` is given: the barrier must not wait behind it.
    """

    task: TaskId
    operator: str
    calls: Sequence[Call]


TaskAction: TypeAlias = SendBatch | SendWatermark | SendIdle | SendBarrier | EpochSealed | AppendOutput | StartCalls


# What a worker asks of its runtime


@dataclass(frozen=True, slots=True)
class SendToWorker:
    """A channel's event for a task that another worker hosts."""

    worker: WorkerId
    task: TaskId
    event: ChannelEvent


@dataclass(frozen=True, slots=True)
class WriteSegment:
    """Make the worker's part of an epoch durable, then report SegmentWritten.

    At-least-once: what was appended must be flushed first.
    """

    epoch: Epoch
    parts: Sequence[TaskSealed]


@dataclass(frozen=True, slots=True)
class AckEpoch:
    """Report to the coordinator that the worker's part of an epoch is durable."""

    ack: SegmentAcked


@dataclass(frozen=True, slots=True)
class PublishEpoch:
    """Publish an epoch's staged output with its markers and positions, then report EpochPublished."""

    epoch: Epoch
    outputs: Mapping[SinkTask, Sequence[EncodedBatch]]
    positions: Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class ApplyEpoch:
    """Apply the sealed deltas of these tasks to their stores, then report EpochApplied."""

    epoch: Epoch
    tasks: Sequence[TaskId]


@dataclass(frozen=True, slots=True)
class ReportDone:
    """Report to the coordinator that an epoch is applied and published."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RequestBarrier:
    """Report to the coordinator that memory is short."""


@dataclass(frozen=True, slots=True)
class HoldSources:
    """Poll nothing until ReleaseSources: memory is short and an epoch is in flight."""


@dataclass(frozen=True, slots=True)
class ReleaseSources:
    """Poll again."""


WorkerAction: TypeAlias = (
    SendToWorker
    | WriteSegment
    | AckEpoch
    | PublishEpoch
    | ApplyEpoch
    | ReportDone
    | RequestBarrier
    | HoldSources
    | ReleaseSources
    | AppendOutput
    | StartCalls
)
