"""The contract of an operator: a batch in, batches out, per task, single-threaded, no I/O of its own."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Generator, Iterable, Mapping
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


Warn: TypeAlias = Callable[[str, str, str], None]
"""Tells the user once what looks wrong, without a record's key or value: operator, what, advice."""


def no_warning(operator: str, what: str, advice: str) -> None:
    """A Warn that nobody hears."""


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
        job: the job's name.
        operator: this operator's id, which is also its state's identity.
        task: its task.
        state: the task's state.
        clock: wall-clock ms; the only source of processing time.
        counters: add to `errors`, `dead_letters`, `late`, `dropped`; the task counts records in and out.
        told: where warnings go; call `warn`.
    """

    job: str
    operator: str
    task: TaskId
    state: TaskState
    clock: Clock
    counters: OperatorCounters = field(default_factory=OperatorCounters)
    told: Warn = no_warning

    def warn(self, what: str, advice: str) -> None:
        """Warn the user, who sees a warning once, whatever the number of tasks. Not for every record."""
        self.told(self.operator, what, advice)

    @property
    def origin(self) -> Origin:
        """The origin of records that this operator creates."""
        return Origin(self.operator, self.task.partition)


class Operator(ABC):
    """One operator in one task. The task calls `open` once, then the other methods in any order.

    The task pushes the output of a method through all operators downstream before it calls the next operator. It calls
    `on_watermark`, `on_clock` and `on_epoch_end` in topological order.
    """

    context: OperatorContext
    holds: bool = False
    """Whether it may hold event time back by a varying amount: then the checkpoint includes what it has let through."""

    def __init__(self, spec: OperatorSpec) -> None:
        """`spec`: the operator's specification in the job file. What belongs to one task is created in `open`."""

    def open(self, context: OperatorContext) -> None:
        """Store the context, and open state tables. Called once, after state is restored."""
        self.context = context

    @property
    def holding(self) -> bool:
        """Whether it currently holds records back: the task is not idle while they will follow. Only if `holds`."""
        return False

    def process(self, batch: Batch, input: Input) -> Outputs:
        """Process a non-empty batch from `input`, one of the inputs of the operator's spec."""
        return ((OUT, batch),)

    def on_watermark(self, watermark: int, inputs: Mapping[Input, int]) -> Passing:
        """Event time has reached `watermark` (ms), the lowest of `inputs`: they expect no earlier records.

        Called whenever one of the inputs has advanced; none ever goes back. WATERMARK_MIN means that an input has no
        event time yet. Returns the watermark to let through to the operators after this one: `watermark`, or less if
        earlier records may still follow. It never goes back.

        WATERMARK_MAX at the end of a bounded run: fire everything once; timers that this registers stay registered.
        Nothing but calls in flight, for which the task waits, is held back from it.

        `inputs` belongs to the task: read it only during the call.
        """
        return watermark
        yield  # makes this a generator, without outputs

    def given_for(self, passed: int) -> int:
        """The watermark that must reach this operator so that it lets `passed` through, as far as the difference is
        fixed."""
        return passed

    def last_event_time(self) -> int | None:
        """The latest event time that WATERMARK_MAX would fire (window end + grace, timer), or None.

        Called before the end of a bounded run: it becomes the task's watermark, so that a later run does not reopen
        what this one closed.
        """
        return None

    def on_clock(self, now: int) -> Outputs:
        """The wall clock is at `now` (ms). Called a few times per second; for processing-time timers."""
        return ()

    def shown(self, table: str, rows: list[tuple[Any, Any]]) -> list[Any]:
        """A query's answers for rows (key, row) of a value table, in order. The rows are of the last completed epoch,
        and the caller's own."""
        return [row for _, row in rows]

    def on_epoch_end(self) -> Outputs:
        """The epoch's last records have been processed. The returned records still belong to this epoch."""
        return ()
