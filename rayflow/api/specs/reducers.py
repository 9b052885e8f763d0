"""The specs that reduce the values of a key to one, for tables and windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rayflow.api.aggregations import BuiltIn
from rayflow.api.functions import name_of
from rayflow.api.specs.base import joined
from rayflow.core.failures import OnError, Stop


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """Named aggregations per key. The result is a record with `key`, for windows `window_start` and `window_end`, and
    the aggregates' names. `result` is created with those of them as keyword arguments for which it has fields."""

    aggregations: tuple[tuple[str, Any], ...]
    result: type[Any]
    on_error: OnError = field(default_factory=Stop)

    @property
    def label(self) -> str:
        """For descriptions of a plan."""
        return ", ".join(
            f"{name}={aggregation.kind if isinstance(aggregation, BuiltIn) else type(aggregation).__name__}"
            for name, aggregation in self.aggregations
        )

    @property
    def shape(self) -> str:
        """The type of an accumulator."""
        return ", ".join(f"{name}={aggregation.kind}" for name, aggregation in self.aggregations)


@dataclass(frozen=True, slots=True)
class FoldSpec:
    """accumulator = fn(accumulator, value), from `initial()`. The accumulator is the result. `reduce` and `count` are
    folds: for `reduce`, `initial` is None and the first value is the first accumulator.

    `merge`: combines two accumulators; the values of the first one came earlier. None if there is none. A `reduce`
    merges with its `fn`.
    """

    initial: Callable[[], Any] | None
    fn: Callable[[Any, Any], Any]
    on_error: OnError = field(default_factory=Stop)
    merge: Callable[[Any, Any], Any] | None = None

    @property
    def label(self) -> str:
        """For descriptions of a plan."""
        if self.fn is one_more:
            return "count"
        return joined("reduce" if self.initial is None else "fold", name_of(self.fn), by=" ")

    @property
    def shape(self) -> str:
        """The type of an accumulator; the user's function may return anything."""
        return "fold"


ReducerSpec: TypeAlias = AggregateSpec | FoldSpec


def one_more(count: int, value: Any) -> int:
    """The `fn` of the fold for `count()` (its `initial` is `int`). An operator may recognise it by identity, and count
    without a call per record."""
    return count + 1
