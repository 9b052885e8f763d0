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

    - It calls `fn(argument)` outside of the worker, which continues meanwhile, and awaits the result if it is
      awaitable. The argument is part of the state, so nobody may change it. An exception becomes the error of the
      call's outcome, never an error of the driver. Timeouts and retries belong to the function, or to its wrapper.
    - It gives the worker exactly one outcome for each call, between two other events, on the worker's thread.
    - It never gives an outcome to another attempt than the one that made the request. When an attempt ends, by a crash
      or by an order, its pending calls are forgotten. The next attempt requests the calls in its checkpoint again,
      under the same numbers. So a call may be made twice, but its outcome counts once.
    - It never delays a barrier: an epoch is sealed with calls in flight. Only the barrier that ends a bounded run waits
      in a task until its calls are done. The driver continues to give outcomes after this barrier, until the segment is
      written.
    - It gives no records to the tasks of `Worker.saturated` and to the tasks that feed them (`Worker.waiting`) until
      outcomes have arrived: the operator limits the number of calls in flight, and waiting calls take state. A task of
      `Worker.owing`, however, receives the records that precede a barrier in a channel, so that the barrier does not
      wait.
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
