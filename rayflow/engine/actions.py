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
    """Send records to one partition of an exchange's downstream stage."""

    exchange: str
    target: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class SendWatermark:
    """Send event time to every partition of an exchange's downstream stage."""

    exchange: str
    watermark: int


@dataclass(frozen=True, slots=True)
class SendIdle:
    """Tell every partition of an exchange's downstream stage that all inputs of this task are idle."""

    exchange: str


@dataclass(frozen=True, slots=True)
class SendBarrier:
    """Send the epoch's barrier to every partition of an exchange's downstream stage."""

    exchange: str
    epoch: Epoch
    drain: bool


@dataclass(frozen=True, slots=True)
class EpochSealed:
    """The task's part of an epoch: delta, staged output and progress, with an estimate of the memory that they use."""

    epoch: Epoch
    sealed: TaskSealed
    bytes: int


@dataclass(frozen=True, slots=True)
class AppendOutput:
    """Publish these records now (at-least-once delivery)."""

    sink: SinkTask
    batches: Sequence[EncodedBatch]


@dataclass(frozen=True, slots=True)
class StartCalls:
    """Make calls for an operator, and report their outcomes as CallsDone: one or several at a time, in any order.

    The driver must follow these rules:

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
    """An event of a channel for a task that another worker hosts."""

    worker: WorkerId
    task: TaskId
    event: ChannelEvent


@dataclass(frozen=True, slots=True)
class WriteSegment:
    """Make the worker's part of an epoch durable, then report SegmentWritten.

    At-least-once: flush the appended output first.
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
    """Report to the coordinator that memory is low."""


@dataclass(frozen=True, slots=True)
class HoldSources:
    """Poll nothing until ReleaseSources: memory is low and an epoch is in flight."""


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
