"""Aggregations: the built-in ones as data, and the base class to write one."""

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
    """What `aggregate(name=...)` takes: a built-in aggregation or an `rf.Aggregation`."""


@dataclass(frozen=True, slots=True)
class BuiltIn(AnyAggregation[V_in, R_out]):
    """A built-in aggregation. The operator compiles all of one `aggregate` call into one loop over a batch.

    Attributes:
        kind: which; it also fixes the accumulator: "count" int; "sum" number from 0; "min", "max" value or None;
            "mean" sum and count in two slots; "first", "last" value; "collect" list; "distinct" set (its size is
            the result).
        fn: what of the value is aggregated; None: the value itself.
    """

    kind: BuiltInKind
    fn: Callable[[Any], Any] | None = None


class Aggregation(AnyAggregation[V_in, R_out], ABC, Generic[V_in, A, R_out]):
    """Write your own aggregation: how an accumulator starts, takes a value and becomes a result.

    Accumulators are state, so they must be of types that the codec carries: numbers, text, lists, dicts, sets,
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
        """A new accumulator."""

    @abstractmethod
    def add(self, accumulator: A, value: V_in) -> A:
        """The accumulator with one value more; it may be changed in place and returned."""

    @abstractmethod
    def result(self, accumulator: A) -> R_out:
        """The result so far. Must not change the accumulator."""

    def merge(self, one: A, other: A) -> A:
        """The accumulator of the values of both, those of `one` first; either may be changed in place and returned.

        To be defined where accumulators become one, as those of two windows do that grow together.
        """
        raise NotImplementedError(f"{type(self).__name__} has no merge")

    def remove(self, accumulator: A, value: V_in) -> A:
        """The accumulator with one value less, which was added to it before; it may be changed in place and returned.

        To be defined where a value is taken back, as a table does whose row has changed.
        """
        raise NotImplementedError(f"{type(self).__name__} has no remove")


def defines(aggregation: Aggregation[Any, Any, Any], method: Literal["merge", "remove"]) -> bool:
    """Whether an aggregation of the user's has one of the methods that it need not have."""
    return getattr(type(aggregation), method) is not getattr(Aggregation, method)


def count() -> AnyAggregation[Any, int]:
    """How many records.

    >>> count()
    BuiltIn(kind='count', fn=None)
    """
    return BuiltIn("count")


def sum(fn: Callable[[V], N] | None = None) -> AnyAggregation[V, N]:
    """The sum of `fn(value)`, or of the values themselves, from 0.

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
    """All `fn(value)`, or values, as a list in the order of arrival. State grows with every record.

    >>> import rayflow as rf
    >>> rf.collect().kind
    'collect'
    """
    return BuiltIn("collect", fn)


def distinct(fn: Callable[[V], Any] | None = None) -> AnyAggregation[V, int]:
    """How many different `fn(value)`, or values, there were: exact, so state grows with each new one.

    >>> import rayflow as rf
    >>> rf.distinct().kind
    'distinct'
    """
    return BuiltIn("distinct", fn)
