"""WindowedStream: a keyed stream divided into windows of event time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from rayflow.api.aggregations import AnyAggregation
from rayflow.api.flow import Flow
from rayflow.api.location import invalid
from rayflow.api.misuse import Misuse, Misused
from rayflow.api.on_error import stop
from rayflow.api.reducers import aggregate_spec, count_spec, fold_spec, reduce_spec, serde_of_reducer
from rayflow.api.sinks import add_sink
from rayflow.api.specs.reducers import AggregateSpec, FoldSpec
from rayflow.api.specs.window import Window, WindowEmit, WindowSpec
from rayflow.api.topics import topic_ref
from rayflow.core.failures import OnError
from rayflow.core.outputs import LATE
from rayflow.core.topics import TopicRef

if TYPE_CHECKING:
    from rayflow.api.keyed import KeyedStream

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
R = TypeVar("R")


class WindowedStream(Misuse, Generic[K, V]):
    """A keyed stream divided into windows. Results have the window's key, and are a keyed stream.

    With `emit="final"` (the default) a window emits one result, when the watermark passes its end and the grace period.
    With `emit="updates"` it emits a new result after every record, until it is final.
    """

    __slots__ = ("_flow", "_grace", "_late", "_window")

    _misused = Misused(
        "comes too early: nothing is computed of the windows yet",
        "Say what to compute first: .aggregate(...), .reduce(fn), .fold(initial, fn) or .count()",
        also=("changes",),
    )

    def __init__(self, flow: Flow, window: Window, grace: int, late: TopicRef | None = None) -> None:
        self._flow = flow
        self._window = window
        self._grace = grace
        self._late = late

    def __repr__(self) -> str:
        return self._flow.describe("WindowedStream")

    def late_to(self, topic: str | TopicRef) -> WindowedStream[K, V]:
        """Also write late records to a topic; otherwise they are only counted.

        >>> import rayflow as rf
        >>> orders = rf.Job("example").stream("orders").key_by(lambda o: o["user"])
        >>> orders.window(rf.tumbling(minutes=1)).late_to("late-orders").count().to("orders-per-minute")
        """
        if self._late is not None:
            raise invalid(f"late records go to {self._late} already", "Call late_to() once")
        return WindowedStream(self._flow, self._window, self._grace, topic_ref(topic))

    @overload
    def aggregate(
        self,
        *,
        into: type[R],
        emit: WindowEmit = ...,
        on_error: OnError = ...,
        name: str | None = ...,
        **aggregations: AnyAggregation[V, Any],
    ) -> KeyedStream[K, R]: ...

    @overload
    def aggregate(
        self,
        *,
        into: None = ...,
        emit: WindowEmit = ...,
        on_error: OnError = ...,
        name: str | None = ...,
        **aggregations: AnyAggregation[V, Any],
    ) -> KeyedStream[K, Any]: ...

    def aggregate(
        self,
        *,
        into: type[Any] | None = None,
        emit: WindowEmit = "final",
        on_error: OnError = stop,
        name: str | None = None,
        **aggregations: AnyAggregation[V, Any],
    ) -> KeyedStream[K, Any]:
        """Aggregate the values of each key and window.

        The result is a record with `key`, `window_start` and `window_end` (ms since the Unix epoch) and a field per
        aggregation. `into` is its class, which may omit any of the first three.

        Aggregations cannot be named into, emit, on_error, name, key, window_start or window_end.

        >>> import rayflow as rf
        >>> job = rf.Job("example")
        >>> orders = job.stream("orders", timestamp=lambda o: o["ts"]).key_by(lambda o: o["user"])
        >>> per_minute = orders.window(rf.tumbling(minutes=1))
        >>> per_minute.aggregate(total=rf.sum(lambda o: o["price"]), orders=rf.count()).to("revenue")
        >>> with rf.testing.Driver(job) as d:
        ...     d.send("orders", {"user": "ada", "price": 1.5, "ts": 0})
        ...     d.send("orders", {"user": "ada", "price": 2.0, "ts": 59_999})
        ...     d.advance(minutes=1)
        ...     d.read("revenue")
        [Result(key='ada', window_start=0, window_end=60000, total=3.5, orders=2)]
        """
        options = {"into": into, "emit": emit, "on_error": on_error, "name": name}
        return self._reduce(aggregate_spec(aggregations, options, windowed=True), emit, name)

    def reduce(
        self,
        fn: Callable[[V, V], V],
        *,
        emit: WindowEmit = "final",
        on_error: OnError = stop,
        name: str | None = None,
    ) -> KeyedStream[K, V]:
        """Combine the values of a key and window: `fn(accumulator, value)`; the first is the first accumulator.

        >>> import rayflow as rf
        >>> words = rf.Job("example").stream("words", value=str).key_by(lambda word: word[0])
        >>> words.window(rf.tumbling(minutes=1)).reduce(max)
        <KeyedStream words | key_by | window>
        """
        return self._reduce(reduce_spec(fn, on_error), emit, name)

    @overload
    def fold(
        self,
        initial: Callable[[], A],
        fn: Callable[[A, V], A],
        *,
        emit: WindowEmit = ...,
        on_error: OnError = ...,
        name: str | None = ...,
    ) -> KeyedStream[K, A]: ...

    @overload
    def fold(
        self,
        initial: A,
        fn: Callable[[A, V], A],
        *,
        emit: WindowEmit = ...,
        on_error: OnError = ...,
        name: str | None = ...,
    ) -> KeyedStream[K, A]: ...

    def fold(
        self,
        initial: Any,
        fn: Any,
        *,
        emit: WindowEmit = "final",
        on_error: OnError = stop,
        name: str | None = None,
    ) -> KeyedStream[K, Any]:
        """Combine the values of a key and window, from `initial` (a value, or a function that makes one).

        >>> import rayflow as rf
        >>> words = rf.Job("example").stream("words", value=str).key_by(lambda word: word[0])
        >>> words.window(rf.tumbling(minutes=1)).fold(0, lambda longest, word: max(longest, len(word)))
        <KeyedStream words | key_by | window>
        """
        return self._reduce(fold_spec(initial, fn, on_error), emit, name)

    def count(self, *, emit: WindowEmit = "final", name: str | None = None) -> KeyedStream[K, int]:
        """Count the records of each key and window.

        >>> import rayflow as rf
        >>> words = rf.Job("example").stream("words", value=str).key_by(lambda word: word)
        >>> words.window(rf.tumbling(hours=1)).count(emit="updates")
        <KeyedStream words | key_by | window>
        """
        return self._reduce(count_spec(), emit, name)

    def _reduce(self, reducer: AggregateSpec | FoldSpec, emit: WindowEmit, name: str | None) -> KeyedStream[K, Any]:
        from rayflow.api.keyed import KeyedStream

        if emit not in ("final", "updates"):
            raise invalid(f"emit={emit!r} is unknown for windows", 'Use emit="final" or emit="updates"')
        spec = WindowSpec(self._window, self._grace, emit, reducer, late=self._late is not None)
        value = serde_of_reducer(reducer, self._flow.value)
        flow = self._flow.add("window", spec, name=name, value=value)
        if self._late is not None:
            late = Flow(flow.graph, flow.node, self._flow.key, self._flow.value, LATE)
            add_sink(late, self._late, name=f"{flow.node.id}-late", kind="late_to")
        return KeyedStream(flow.carrying())
