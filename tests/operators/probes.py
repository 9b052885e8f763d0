"""Operators that only tests have: each asks for one part of the contract. A job takes them as any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayflow.api.flow import Flow
from rayflow.api.specs.base import OperatorSpec, StateSpec
from rayflow.api.stream import Stream
from rayflow.core.batch import Batch
from rayflow.core.failures import OnError, Stop
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.core.outputs import OUT, Input
from rayflow.operators.base import Operator, OperatorContext, Outputs, Passing
from rayflow.operators.calling import Call, CallingOperator, Outcome
from rayflow.operators.failing import Failures, without
from rayflow.operators.in_flight import CALLS, InFlight
from rayflow.operators.registry import runs

LEFT, RIGHT = "left", "right"


@dataclass(frozen=True, slots=True)
class PairSpec(OperatorSpec):
    """Takes two streams, and says of each value from which it came: (input, value)."""

    inputs = (LEFT, RIGHT)


@runs(PairSpec)
class PairOperator(Operator):
    def process(self, batch: Batch, input: Input) -> Outputs:
        return ((OUT, batch.with_values([(input, value) for value in batch.values])),)


@dataclass(frozen=True, slots=True)
class MeetSpec(OperatorSpec):
    """Takes two streams by key, and says with each record how many of its key have come by either input."""

    inputs = (LEFT, RIGHT)
    by_key = True

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec("met", "value"),)


@runs(MeetSpec)
class MeetOperator(Operator):
    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.table = context.state.values(context.operator, "met")

    def process(self, batch: Batch, input: Input) -> Outputs:
        counts = []
        for key in batch.keys:
            row = dict(self.table.get(key) or {LEFT: 0, RIGHT: 0})
            row[input] += 1
            self.table.put(key, row)
            counts.append([row[LEFT], row[RIGHT]])
        return ((OUT, batch.with_values(counts)),)


@dataclass(frozen=True, slots=True)
class CheckedSpec(OperatorSpec):
    """Passes records on, and fails when one is behind the event time that this operator was told of its input.

    `seen`: is given every call of `on_watermark`.
    """

    inputs = (LEFT, RIGHT)
    seen: list[tuple[int, dict[Input, int]]]


@runs(CheckedSpec)
class CheckedOperator(Operator):
    def __init__(self, spec: CheckedSpec) -> None:
        self.spec = spec
        self.told: dict[Input, int] = dict.fromkeys(spec.inputs, WATERMARK_MIN)

    def process(self, batch: Batch, input: Input) -> Outputs:
        assert min(batch.timestamps) > self.told[input], f"{min(batch.timestamps)} is behind {self.told[input]}"
        return ((OUT, batch),)

    def on_watermark(self, watermark: int, inputs: Mapping[Input, int]) -> Passing:
        assert watermark == min(inputs.values())
        assert all(mark >= self.told[input] for input, mark in inputs.items())
        if watermark < WATERMARK_MAX:
            assert inputs != self.told, "nothing has moved"
            self.told = dict(inputs)
        self.spec.seen.append((watermark, dict(inputs)))
        yield from ()
        return watermark


@dataclass(frozen=True, slots=True)
class WaitSpec(OperatorSpec):
    """Keeps each record until event time is `wait` ms further than it, and holds event time back meanwhile."""

    wait: int

    @property
    def label(self) -> str:
        return f"waits {self.wait} ms"

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec("waiting", "list"),)


@runs(WaitSpec)
class WaitOperator(Operator):
    """First in, first out. The records are rows of state under their number."""

    holds = True

    @property
    def holding(self) -> bool:
        return any(True for _ in self.table.scan(0))

    def __init__(self, spec: WaitSpec) -> None:
        self.spec = spec

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.table = context.state.nested(context.operator, "waiting")
        self.next = max((number for number, _ in self.table.scan(0)), default=-1) + 1

    def process(self, batch: Batch, input: Input) -> Outputs:
        for key, value, timestamp in zip(batch.keys, batch.values, batch.timestamps, strict=True):
            self.table.put(0, self.next, [key, value, timestamp])
            self.next += 1
        return ()

    def on_watermark(self, watermark: int, inputs: Mapping[Input, int]) -> Passing:
        rows = list(self.table.scan(0))
        due = 0
        while due < len(rows) and rows[due][1][2] + self.spec.wait <= watermark:
            due += 1
        for number, _ in rows[:due]:
            self.table.delete(0, number)
        if due:
            yield OUT, self._batch([row for _, row in rows[:due]])
        held: list[int] = [row[2] - 1 for _, row in rows[due:]]
        return min([watermark, *held])

    def last_event_time(self) -> int | None:
        return max((row[2] + self.spec.wait for _, row in self.table.scan(0)), default=None)

    def _batch(self, rows: list[list[Any]]) -> Batch:
        keys, values, timestamps = (list(column) for column in zip(*rows, strict=True))
        return Batch.made(self.context.origin, keys, values, timestamps)


@dataclass(frozen=True, slots=True)
class AskSpec(OperatorSpec):
    """Has a function called with each value, out of the engine, and emits what comes of it in whatever order."""

    fn: Callable[[Any], Any]
    limit: int = 100
    on_error: OnError = field(default_factory=Stop)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (CALLS,)


@runs(AskSpec)
class AskOperator(CallingOperator):
    def __init__(self, spec: AskSpec) -> None:
        self.spec = spec

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self.failures = Failures(context, self.spec.on_error)
        self.records = InFlight(context, self.spec.fn, self.spec.limit)

    @property
    def in_flight(self) -> int:
        return len(self.records)

    @property
    def full(self) -> bool:
        return self.in_flight >= 2 * self.spec.limit

    def calls(self) -> list[Call]:
        return self.records.calls()

    def process(self, batch: Batch, input: Input) -> Outputs:
        self.records.add(batch)
        return ()

    def on_calls(self, outcomes: Sequence[Outcome], watermark: int) -> Passing:
        for batch, own in self.records.take(outcomes):
            failed = [index for index, outcome in enumerate(own) if outcome.error is not None]
            for index in failed:
                yield from self.failures.one(batch, index, own[index].error or ValueError())
            done = [outcome.result for outcome in own if outcome.error is None]
            yield OUT, without(batch, failed).with_values(done)
        return self.records.behind(watermark)

    def on_watermark(self, watermark: int, inputs: Mapping[Input, int]) -> Passing:
        yield from ()
        return self.records.behind(watermark)


def behind(stream: Stream[Any, Any], spec: OperatorSpec, name: str) -> Stream[Any, Any]:
    """`stream` through an operator of one input."""
    return Stream(stream._flow.add("probe", spec, name=name))


def meeting(left: Stream[Any, Any], right: Stream[Any, Any], spec: OperatorSpec, name: str) -> Stream[Any, Any]:
    """Two streams through an operator of two inputs."""
    flow = left._flow
    node = flow.graph.add("probe", spec, (flow.feed(LEFT), right._flow.feed(RIGHT)), name=name)
    return Stream(Flow(flow.graph, node, flow.key, flow.value))
