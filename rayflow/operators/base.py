"""The contract of an operator: a batch in, batches out, per task, single-threaded, no I/O of its own."""

from __future__ import annotations

from abc import ABC
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rayflow.api.specs.base import OperatorSpec
from rayflow.core.batch import Batch, Origin
from rayflow.core.clock import Clock
from rayflow.core.ids import TaskId
from rayflow.core.outputs import OUT, Input, Output
from rayflow.state.task_state import TaskState

Outputs: TypeAlias = Iterable[tuple[Output, Batch]]
"""An operator's outputs, in order. Empty batches are allowed; the task drops them."""

Passing: TypeAlias = Generator[tuple[Output, Batch], None, int]
"""An operator's outputs, in order; returns the watermark (ms) to pass on after them."""


@dataclass(slots=True)
class OperatorCounters:
    """The counts of one operator instance since its task started; the runtime exports them as metrics."""

    records_in: int = 0
    records_out: int = 0
    errors: int = 0
    dead_letters: int = 0
    late: int = 0
    dropped: int = 0


@dataclass(slots=True)
class OperatorContext:
    """An operator instance's surroundings.

    Attributes:
        job: the job's name. operator: this operator's id (also its state's identity). task: its task.
        state: the task's state. clock: wall-clock ms; the only source of processing time.
        counters: add to `errors`, `dead_letters`, `late`, `dropped`; the task counts records in and out.
    """

    job: str
    operator: str
    task: TaskId
    state: TaskState
    clock: Clock
    counters: OperatorCounters = field(default_factory=OperatorCounters)

    @property
    def origin(self) -> Origin:
        """The origin of records that this operator makes itself."""
        return Origin(self.operator, self.task.partition)


class Operator(ABC):
    """One operator in one task. The task calls `open` once, then the other methods in any order.

    Order within one step: the task pushes what a method returns through everything downstream before it calls the
    next operator, and calls `on_watermark`, `on_clock` and `on_epoch_end` in topological order.
    """

    context: OperatorContext
    holds: bool = False
    """Whether it may hold event time back by more than a fixed time: what it has let through is in the checkpoint."""

    def __init__(self, spec: OperatorSpec) -> None:
        """`spec`: what the job file says of it. Whatever belongs to one task is made in `open`."""

    def open(self, context: OperatorContext) -> None:
        """Take the place and get hold of state tables. Called after state is restored, before anything else."""
        self.context = context

    @property
    def holding(self) -> bool:
        """Whether it holds records back at present: a task is not idle while they are to follow. With `holds` only."""
        return False

    def process(self, batch: Batch, input: Input) -> Outputs:
        """Take a non-empty batch that came by `input`, one of the inputs of the operator's spec."""
        return ((OUT, batch),)

    def on_watermark(self, watermark: int, inputs: Mapping[Input, int]) -> Passing:
        """Event time has reached `watermark` (ms), the lowest of `inputs`: no earlier records are expected by them.

        Called whenever one of the inputs has moved on; none ever goes back. WATERMARK_MIN stands for an input that has
        no event time yet. Returns what is let through to the operators behind this one: `watermark`, or less while
        records may follow that are behind it. What was let through before is never taken back.

        WATERMARK_MAX at the end of a bounded run: fire everything once; timers that this registers stay registered.
        Nothing but calls in flight, for which the task waits, is held back from it.

        `inputs` is the task's own: read it during the call.
        """
        return watermark
        yield  # which makes it a generator, without outputs

    def given_for(self, passed: int) -> int:
        """The watermark that must reach this operator for `passed` to be let through, as far as that is fixed."""
        return passed

    def last_event_time(self) -> int | None:
        """The latest event time that WATERMARK_MAX would fire (window end + grace, timer), or None.

        Asked before the end of a bounded run: it becomes the task's watermark, so that a later run does not open again
        what this one closed.
        """
        return None

    def on_clock(self, now: int) -> Outputs:
        """The wall clock is at `now` (ms). Called a few times a second; for processing-time timers."""
        return ()

    def shown(self, table: str, rows: list[tuple[Any, Any]]) -> list[Any]:
        """A query's answers for rows (key, row) of a value table, in order. The rows are of the last completed epoch,
        and the caller's own."""
        return [row for _, row in rows]

    def on_epoch_end(self) -> Outputs:
        """The epoch's last records have been processed; what is returned still belongs to it."""
        return ()
