"""Aggregations: the built-in ones, and the base class for your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

BuiltInKind: TypeAlias = Literal["count", "sum", "min", "max", "mean", "first", "last", "collect", "distinct"]

V = TypeVar("V")
N = TypeVar("N")
A = TypeVar("A")
V_in = TypeVar("V_in", contravariant=True)
R_out = TypeVar("R_out", covariant=True)


class AnyAggregation(Generic[V_in, R_out]):
    """The values that `aggregate(name=...)` takes: a built-in aggregation or an `rf.Aggregation`."""


@dataclass(frozen=True, slots=True)
class BuiltIn(AnyAggregation[V_in, R_out]):
    """A built-in aggregation. The operator compiles all of one `aggregate` call into one loop over a batch.

    Attributes:
        kind: its kind, which also determines the accumulator: "count" int; "sum" number from 0; "min", "max" value or
            None; "mean" sum and count in two slots; "first", "last" value; "collect" list; "distinct" set (its size is
            the result).
        fn: returns the part of the value to aggregate; None: the value itself.
    """

    kind: BuiltInKind
    fn: Callable[[Any], Any] | None = None


class Aggregation(AnyAggregation[V_in, R_out], ABC, Generic[V_in, A, R_out]):
    """Base class of your own aggregations: defines how an accumulator starts, adds a value and becomes a result.

    Accumulators are state, so their types must be supported in state: numbers, text, lists, dicts, sets,
    dataclasses, `rf.Record`.

    >>> import rayflow as rf
    >>> class Longest(rf.Aggregation[str, str, int]):
    ...     def create(self):
    ...         return ""
    ...     def add(self, accumulator, value):
    ...         return value if len(value) > len(accumulator) else accumulator
    ...     def result(self, accumulator):
    ...         return len(accumulator)
    >>> job = rf.Job("example")
    >>> job.stream("words", value=str).key_by(lambda word: word[0]).aggregate(longest=Longest()).to("longest")
    >>> with rf.testing.Driver(job) as d:
    ...     d.send_all("words", ["to", "three", "two"])
    ...     d.read("longest")
    [Result(key='t', longest=5)]
    """

    kind: ClassVar[str] = "custom"

    @abstractmethod
    def create(self) -> A:
        """Return a new accumulator."""

    @abstractmethod
    def add(self, accumulator: A, value: V_in) -> A:
        """Return the accumulator with a value added; it may be changed in place."""

    @abstractmethod
    def result(self, accumulator: A) -> R_out:
        """Return the result so far. Must not change the accumulator."""

    def merge(self, one: A, other: A) -> A:
        """Return one accumulator for the values of both, those of `one` first; either may be changed in place.

        Needed only where accumulators are combined, for example when two session windows merge.
        """
        raise NotImplementedError(f"{type(self).__name__} has no merge")

    def remove(self, accumulator: A, value: V_in) -> A:
        """Return the accumulator without a value that was added before; it may be changed in place.

        Needed only where a value is retracted, for example when a row of a table changes.
        """
        raise NotImplementedError(f"{type(self).__name__} has no remove")


def defines(aggregation: Aggregation[Any, Any, Any], method: Literal["merge", "remove"]) -> bool:
    """Whether a user's aggregation defines one of the optional methods."""
    return getattr(type(aggregation), method) is not getattr(Aggregation, method)


def count() -> AnyAggregation[Any, int]:
    """Count the records.

    >>> count()
    BuiltIn(kind='count', fn=None)
    """
    return BuiltIn("count")


def sum(fn: Callable[[V], N] | None = None) -> AnyAggregation[V, N]:
    """Sum `fn(value)`, or the values themselves, starting from 0.

    >>> import rayflow as rf
    >>> rf.sum().kind
    'sum'
    """
    return BuiltIn("sum", fn)


def min(fn: Callable[[V], N] | None = None) -> AnyAggregation[V, N]:
    """The smallest `fn(value)`, or the smallest value.

    >>> import rayflow as rf
    >>> rf.min().kind
    'min'
    """
    return BuiltIn("min", fn)


def max(fn: Callable[[V], N] | None = None) -> AnyAggregation[V, N]:
    """The largest `fn(value)`, or the largest value.

    >>> import rayflow as rf
    >>> rf.max().kind
    'max'
    """
    return BuiltIn("max", fn)


def mean(fn: Callable[[V], float] | None = None) -> AnyAggregation[V, float]:
    """The arithmetic mean of `fn(value)`, or of the values.

    >>> import rayflow as rf
    >>> rf.mean().kind
    'mean'
    """
    return BuiltIn("mean", fn)


def first(fn: Callable[[V], N] | None = None) -> AnyAggregation[V, N]:
    """The first `fn(value)`, or value, in the order of arrival.

    >>> import rayflow as rf
    >>> rf.first().kind
    'first'
    """
    return BuiltIn("first", fn)


def last(fn: Callable[[V], N] | None = None) -> AnyAggregation[V, N]:
    """The last `fn(value)`, or value, in the order of arrival.

    >>> import rayflow as rf
    >>> rf.last().kind
    'last'
    """
    return BuiltIn("last", fn)


def collect(fn: Callable[[V], N] | None = None) -> AnyAggregation[V, list[N]]:
    """Collect all `fn(value)`, or values, in a list in order of arrival. State grows with every record.

    >>> import rayflow as rf
    >>> rf.collect().kind
    'collect'
    """
    return BuiltIn("collect", fn)


def distinct(fn: Callable[[V], Any] | None = None) -> AnyAggregation[V, int]:
    """Count the distinct `fn(value)`, or values. The count is exact, so state grows with each new value.

    >>> import rayflow as rf
    >>> rf.distinct().kind
    'distinct'
    """
    return BuiltIn("distinct", fn)
