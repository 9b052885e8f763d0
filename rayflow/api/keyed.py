"""KeyedStream: a stream partitioned by key, with state per key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from rayflow.api.aggregations import AnyAggregation
from rayflow.api.durations import milliseconds_of
from rayflow.api.location import invalid
from rayflow.api.on_error import stop
from rayflow.api.process import ProcessFunction
from rayflow.api.reducers import aggregate_spec, count_spec, fold_spec, reduce_spec, serde_of_reducer
from rayflow.api.specs.reducers import AggregateSpec, FoldSpec
from rayflow.api.specs.table import Emit, TableSpec
from rayflow.api.specs.window import Window
from rayflow.api.stream import Stream
from rayflow.api.table import Table, check_emit
from rayflow.api.windowed import WindowedStream
from rayflow.core.failures import OnError

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")
A = TypeVar("A")
R = TypeVar("R")


class KeyedStream(Stream[K, V], Generic[K, V]):
    """A stream partitioned by key, with the methods of Stream and state per key.

    Functions of the value keep the key: after `map`, `flat_map`, `filter`, `process`, `peek` and `split`, and after a
    merge with other keyed streams, the stream is keyed still, and needs no second `key_by`.
    """

    __slots__ = ()
    _misused = None

    def map(self, fn: Callable[[V], R], *, on_error: OnError = stop, name: str | None = None) -> KeyedStream[K, R]:
        """Replace each value by `fn(value)`. The stream stays keyed.

        >>> import rayflow as rf
        >>> words = rf.Job("example").stream("words", value=str).key_by(lambda word: word[0])
        >>> words.map(len).window(rf.tumbling(minutes=1)).aggregate(longest=rf.max())
        <KeyedStream words | key_by | map | window>
        """
        return self._kept(super().map(fn, on_error=on_error, name=name))

    def flat_map(
        self, fn: Callable[[V], Iterable[R]], *, on_error: OnError = stop, name: str | None = None
    ) -> KeyedStream[K, R]:
        """Replace each value by the values that `fn(value)` returns, as Stream.flat_map does. The stream stays keyed.

        >>> import rayflow as rf
        >>> rf.Job("example").stream("lines", key=str, value=str).group_by_key().flat_map(str.split).count()
        <Table lines | group_by_key | flat_map | count>
        """
        return self._kept(super().flat_map(fn, on_error=on_error, name=name))

    def process(
        self, make: Callable[[], ProcessFunction[K, V, R]], *, on_error: OnError = stop, name: str | None = None
    ) -> KeyedStream[K, R]:
        """Run a ProcessFunction, with state and timers per key, as Stream.process does. The stream stays keyed.

        >>> import rayflow as rf
        >>> class Total(rf.ProcessFunction[str, int, int]):
        ...     total = rf.value(0)
        ...     def process(self, value, ctx):
        ...         self.total.set(self.total.get() + value)
        ...         yield self.total.get()
        >>> rf.Job("example").stream("sizes", key=str).group_by_key().process(Total).to_table()
        <Table sizes | group_by_key | process | group_by_key | to_table>
        """
        return self._kept(super().process(make, on_error=on_error, name=name))

    @overload
    def merge(self, *others: KeyedStream[K2, V2], name: str | None = ...) -> KeyedStream[K | K2, V | V2]: ...

    @overload
    def merge(self, *others: Stream[K2, V2], name: str | None = ...) -> Stream[K | K2, V | V2]: ...

    def merge(self, *others: Stream[Any, Any], name: str | None = None) -> Stream[Any, Any]:
        """Merge this stream with others, as Stream.merge does. If they are all keyed, the result is keyed.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> eu, us = (job.stream(topic).key_by(lambda order: order["user"]) for topic in ("eu", "us"))
        >>> eu.merge(us).count()
        <Table eu | key_by | merge | count>
        """
        merged = super().merge(*others, name=name)
        return self._kept(merged) if all(isinstance(other, KeyedStream) for other in others) else merged

    @overload
    def aggregate(
        self,
        *,
        into: type[R],
        emit: Emit = ...,
        on_error: OnError = ...,
        name: str | None = ...,
        **aggregations: AnyAggregation[V, Any],
    ) -> Table[K, R]: ...

    @overload
    def aggregate(
        self,
        *,
        into: None = ...,
        emit: Emit = ...,
        on_error: OnError = ...,
        name: str | None = ...,
        **aggregations: AnyAggregation[V, Any],
    ) -> Table[K, Any]: ...

    def aggregate(
        self,
        *,
        into: type[Any] | None = None,
        emit: Emit = "epoch",
        on_error: OnError = stop,
        name: str | None = None,
        **aggregations: AnyAggregation[V, Any],
    ) -> Table[K, Any]:
        """Aggregate the values of each key. The result is a record with `key` and a field per aggregation.

        Args:
            into: the class of the result; it has a field for each aggregation, and may omit `key`.
            emit: "epoch": the newest result of each changed key once per epoch; "record": a result for each record.

        Aggregations cannot be named into, emit, on_error, name, key, window_start or window_end.

        >>> import rayflow as rf
        >>> class Spent(rf.Record):
        ...     key: str
        ...     total: float
        ...     orders: int
        >>> job = rf.Job("example")
        >>> orders = job.stream("orders").key_by(lambda o: o["user"])
        >>> orders.aggregate(total=rf.sum(lambda o: o["price"]), orders=rf.count(), into=Spent).to("spent")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send_all("orders", [{"user": "ada", "price": 1.5}, {"user": "ada", "price": 2.0}])
        ...     d.read("spent")
        [Spent(key='ada', total=3.5, orders=2)]
        """
        options = {"into": into, "emit": emit, "on_error": on_error, "name": name}
        return self._table("aggregate", aggregate_spec(aggregations, options, windowed=False), emit, name)

    def reduce(
        self, fn: Callable[[V, V], V], *, emit: Emit = "epoch", on_error: OnError = stop, name: str | None = None
    ) -> Table[K, V]:
        """Combine the values of a key: `fn(accumulator, value)`; the first value is the first accumulator.

        >>> import rayflow as rf
        >>> prices = rf.Job("example").stream("prices").key_by(lambda p: p["item"])
        >>> prices.reduce(lambda cheapest, p: min(cheapest, p, key=lambda p: p["price"]))
        <Table prices | key_by | reduce>
        """
        return self._table("reduce", reduce_spec(fn, on_error), emit, name)

    @overload
    def fold(
        self,
        initial: Callable[[], A],
        fn: Callable[[A, V], A],
        *,
        emit: Emit = ...,
        on_error: OnError = ...,
        name: str | None = ...,
    ) -> Table[K, A]: ...

    @overload
    def fold(
        self,
        initial: A,
        fn: Callable[[A, V], A],
        *,
        emit: Emit = ...,
        on_error: OnError = ...,
        name: str | None = ...,
    ) -> Table[K, A]: ...

    def fold(
        self, initial: Any, fn: Any, *, emit: Emit = "epoch", on_error: OnError = stop, name: str | None = None
    ) -> Table[K, Any]:
        """Combine the values of a key, from `initial`: `accumulator = fn(accumulator, value)`.

        `initial` is a value, or a function that makes one (needed for lists and dicts, as with `fold(list, ...)`).

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> words = job.stream("words", value=str).key_by(lambda word: word[0])
        >>> words.fold(0, lambda longest, word: max(longest, len(word))).to("longest")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send_all("words", ["to", "three", "two"])
        ...     d.read("longest")
        [5]
        """
        return self._table("fold", fold_spec(initial, fn, on_error), emit, name)

    def count(self, *, emit: Emit = "epoch", name: str | None = None) -> Table[K, int]:
        """Count the records of each key.

        >>> import rayflow as rf
        >>> rf.Job("example").stream("words", value=str).key_by(lambda word: word).count(emit="record")
        <Table words | key_by | count>
        """
        return self._table("count", count_spec(), emit, name)

    def window(self, window: Window, *, grace: timedelta = timedelta(0)) -> WindowedStream[K, V]:
        """Divide each key's records into windows of event time; call `aggregate`, `reduce`, `fold` or `count` on it.

        Args:
            grace: how long after its end, in event time, a window still accepts records.

        >>> import rayflow as rf
        >>> orders = rf.Job("example").stream("orders").key_by(lambda o: o["user"])
        >>> orders.window(rf.tumbling(minutes=1), grace=timedelta(seconds=10)).count()
        <KeyedStream orders | key_by | window>
        """
        if not isinstance(window, Window):
            raise invalid(f"window() is given a {type(window).__name__}", "Give rf.tumbling(minutes=1) or rf.hopping")
        return WindowedStream(self._flow, window, milliseconds_of(grace, "grace=", least=0))

    def _kept(self, stream: Stream[Any, R]) -> KeyedStream[K, R]:
        """`stream`, which has the keys of this one."""
        return KeyedStream(stream._flow.carrying())

    def _table(self, kind: str, reducer: AggregateSpec | FoldSpec, emit: Emit, name: str | None) -> Table[K, Any]:
        value = serde_of_reducer(reducer, self._flow.value)
        return Table(self._flow.add(kind, TableSpec(reducer, check_emit(emit)), name=name, value=value))

    @property
    def _is_keyed(self) -> bool:
        return True
