"""What a job file says of each operator, as data. `rayflow.operators.factory` builds the operators from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from rayflow.core.failures import OnError, Stop
from rayflow.core.topics import TopicRef
from rayflow.serde.base import Serde

Emit: TypeAlias = Literal["epoch", "record"]
WindowEmit: TypeAlias = Literal["final", "updates"]


@dataclass(frozen=True, slots=True)
class WatermarkStrategy:
    """How event time advances with what a source partition has delivered.

    Attributes:
        out_of_order: ms that a record may be behind the newest one of its partition (the watermark is the newest
            timestamp less this, less 1 ms); None when event time never advances (`no_watermark`).
    """

    out_of_order: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """What to write into a topic that does not exist yet, when the job runs on the embedded log.

    Attributes:
        values: gives the values, a finite number of them; keys are null. value: the stream's serde.
        timestamp: event time (ms) from the value; None: the time of writing.
    """

    values: Callable[[], Iterable[Any]]
    value: Serde[Any]
    timestamp: Callable[[Any], int] | None = None


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """Decodes a source's records, gives them timestamps and makes the watermark.

    Attributes:
        timestamp: event time (ms) from the decoded value; None keeps the broker's.
        idle_after: ms of wall clock without records after which the partition no longer holds event time back.
    """

    key: Serde[Any]
    value: Serde[Any]
    timestamp: Callable[[Any], int] | None = None
    watermark: WatermarkStrategy = field(default_factory=lambda: WatermarkStrategy(0))
    idle_after: int | None = None
    on_error: OnError = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class MapSpec:
    """value -> value."""

    fn: Callable[[Any], Any]
    on_error: OnError = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """Keeps records whose value passes."""

    fn: Callable[[Any], Any]
    on_error: OnError = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class FlatMapSpec:
    """value -> several values."""

    fn: Callable[[Any], Any]
    on_error: OnError = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class PeekSpec:
    """Calls a function with each value; records pass unchanged."""

    fn: Callable[[Any], Any]
    on_error: OnError = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class PrintSpec:
    """Prints key and value to standard output; records pass unchanged."""

    label: str


@dataclass(frozen=True, slots=True)
class KeyBySpec:
    """Gives each record the key `fn(value)`; an exchange follows it."""

    fn: Callable[[Any], Any]
    on_error: OnError = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class GroupByKeySpec:
    """Keeps the source's keys and partitioning; drops (and counts) records with a null key."""


@dataclass(frozen=True, slots=True)
class MergeSpec:
    """Passes records of several streams on."""


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """Sends each record to the port of the first predicate that holds, else to OUT (the rest)."""

    branches: tuple[tuple[str, Callable[[Any], Any]], ...]
    on_error: OnError = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """Runs a ProcessFunction; `make` builds one instance per task. `keyed` is False on an unkeyed stream.

    `function`: the class of what `make` builds; None: not known before it is built.
    """

    make: Callable[[], Any]
    keyed: bool
    on_error: OnError = field(default_factory=Stop)
    function: type[Any] | None = None


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """Named aggregations per key; the result is a record with `key`, for windows `window_start` and `window_end`, and
    the aggregates' names. `result` is built with these as keyword arguments that it has fields for."""

    aggregations: tuple[tuple[str, Any], ...]
    result: type[Any]
    on_error: OnError = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class FoldSpec:
    """accumulator = fn(accumulator, value), from `initial()`; the accumulator is the result. `reduce` and `count` are
    folds: for `reduce`, `initial` is None and the first value is the first accumulator."""

    initial: Callable[[], Any] | None
    fn: Callable[[Any, Any], Any]
    on_error: OnError = field(default_factory=Stop)


def one_more(count: int, value: Any) -> int:
    """The `fn` of the fold behind `count()` (its `initial` is `int`). An operator may know it by identity and count
    without a call per record."""
    return count + 1


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Keeps an aggregate per key and emits changes: the newest per key at the end of each epoch, or every update."""

    reducer: AggregateSpec | FoldSpec
    emit: Emit = "epoch"


@dataclass(frozen=True, slots=True)
class LatestSpec:
    """Keeps the newest value per key (`to_table`); a None value deletes the key. Emits like TableSpec."""

    emit: Emit = "epoch"


@dataclass(frozen=True, slots=True)
class Window:
    """Windows of `size` ms, one beginning every `every` ms since the epoch; tumbling when both are equal."""

    size: int
    every: int


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """An aggregate per key and window. A window [start, end) is final when the watermark reaches end + grace (ms).

    `late`: whether someone takes the LATE port; late records are counted in any case.
    """

    window: Window
    grace: int
    emit: WindowEmit
    reducer: AggregateSpec | FoldSpec
    late: bool = False


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """Encodes records and hands them to a topic. `timestamp`, `headers`: from the value; None keeps the record's."""

    topic: TopicRef
    key: Serde[Any]
    value: Serde[Any]
    timestamp: Callable[[Any], int] | None = None
    headers: Callable[[Any], list[tuple[str, bytes | None]]] | None = None
    on_error: OnError = field(default_factory=Stop)


OperatorSpec: TypeAlias = (
    StreamSpec
    | MapSpec
    | FilterSpec
    | FlatMapSpec
    | PeekSpec
    | PrintSpec
    | KeyBySpec
    | GroupByKeySpec
    | MergeSpec
    | SplitSpec
    | ProcessSpec
    | TableSpec
    | LatestSpec
    | WindowSpec
    | SinkSpec
)
