"""Job: the root of a dataflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal, TypeVar, overload

from rayflow.api.durations import milliseconds_of
from rayflow.api.event_time import monotonic
from rayflow.api.flow import Flow
from rayflow.api.functions import check_function
from rayflow.api.graph import Graph, check_identifier
from rayflow.api.location import caller_location, invalid
from rayflow.api.on_error import check_on_error, stop
from rayflow.api.serdes import serde_of
from rayflow.api.specs.stream import Sample, StreamSpec, WatermarkStrategy
from rayflow.api.stream import Stream
from rayflow.api.topics import topic_ref
from rayflow.core.failures import OnError
from rayflow.core.topics import TopicRef
from rayflow.serde import json
from rayflow.serde.base import Serde

K = TypeVar("K")
V = TypeVar("V")


class Job:
    """A dataflow with a name. The name is part of consumer groups, transactional ids and checkpoints.

    Args:
        name: 1 to 100 letters, digits, '.', '_' and '-'.
        checkpoint_interval: time between two checkpoints; output becomes visible with its checkpoint.
        delivery: "exactly_once", or "at_least_once" (output is published immediately, and may repeat after a crash).

    Raises InvalidJob.

    >>> import rayflow as rf
    >>> job = rf.Job("shout")
    >>> job.stream("words", value=str).map(str.upper).to("loud-words")
    """

    def __init__(
        self,
        name: str,
        *,
        checkpoint_interval: timedelta = timedelta(seconds=1),
        delivery: Literal["exactly_once", "at_least_once"] = "exactly_once",
    ) -> None:
        if delivery not in ("exactly_once", "at_least_once"):
            raise invalid(f"delivery={delivery!r} is unknown", 'Use "exactly_once" or "at_least_once"')
        self.name = check_identifier(name, "a job")
        self.checkpoint_interval = milliseconds_of(checkpoint_interval, "checkpoint_interval=")
        self.delivery = delivery
        self.location = caller_location()
        self.graph = Graph()

    @overload
    def stream(
        self,
        topic: str | TopicRef,
        *,
        value: Serde[V] | type[V],
        timestamp: Callable[[V], int] | None = ...,
        watermark: WatermarkStrategy | None = ...,
        idle_after: timedelta | None = ...,
        on_error: OnError = ...,
        sample: Callable[[], Iterable[V]] | Iterable[V] | None = ...,
        name: str | None = ...,
    ) -> Stream[bytes, V]: ...

    @overload
    def stream(
        self,
        topic: str | TopicRef,
        *,
        key: Serde[K] | type[K],
        value: Serde[V] | type[V],
        timestamp: Callable[[V], int] | None = ...,
        watermark: WatermarkStrategy | None = ...,
        idle_after: timedelta | None = ...,
        on_error: OnError = ...,
        sample: Callable[[], Iterable[V]] | Iterable[V] | None = ...,
        name: str | None = ...,
    ) -> Stream[K, V]: ...

    @overload
    def stream(
        self,
        topic: str | TopicRef,
        *,
        key: Serde[K] | type[K],
        timestamp: Callable[[Any], int] | None = ...,
        watermark: WatermarkStrategy | None = ...,
        idle_after: timedelta | None = ...,
        on_error: OnError = ...,
        sample: Callable[[], Iterable[Any]] | Iterable[Any] | None = ...,
        name: str | None = ...,
    ) -> Stream[K, Any]: ...

    @overload
    def stream(
        self,
        topic: str | TopicRef,
        *,
        timestamp: Callable[[Any], int] | None = ...,
        watermark: WatermarkStrategy | None = ...,
        idle_after: timedelta | None = ...,
        on_error: OnError = ...,
        sample: Callable[[], Iterable[Any]] | Iterable[Any] | None = ...,
        name: str | None = ...,
    ) -> Stream[bytes, Any]: ...

    def stream(
        self,
        topic: str | TopicRef,
        *,
        key: Any = None,
        value: Any = None,
        timestamp: Callable[[Any], int] | None = None,
        watermark: WatermarkStrategy | None = None,
        idle_after: timedelta | None = None,
        on_error: OnError = stop,
        sample: Callable[[], Iterable[Any]] | Iterable[Any] | None = None,
        name: str | None = None,
    ) -> Stream[Any, Any]:
        """Read a topic.

        Args:
            topic: a name on the broker of the run, or `rf.kafka(...)`, `rf.jsonl(...)`...
            key, value: a serde or a type; by default keys are bytes and values are JSON.
            timestamp: returns the event time of a value in ms since the Unix epoch; default: the broker's timestamp.
            watermark: `rf.bounded(seconds=5)`, `rf.monotonic()` (default) or `rf.no_watermark()`.
            idle_after: a partition without records for this long no longer holds the watermark back.
            on_error: for records that cannot be decoded or whose timestamp fails.
            sample: example values, or a function that returns them. On the embedded log, a topic that does not exist
                is created with them.

        Raises InvalidJob.

        >>> import rayflow as rf
        >>> class Order(rf.Record):
        ...     user: str
        ...     ts: int
        >>> job = rf.Job("orders")
        >>> job.stream("orders", value=Order, timestamp=lambda o: o.ts, watermark=rf.bounded(seconds=5))
        <Stream orders>
        """
        ref = topic_ref(topic)
        if timestamp is not None:
            check_function(timestamp, "stream(timestamp=)", "value")
        if watermark is not None and not isinstance(watermark, WatermarkStrategy):
            raise invalid("watermark= is not a strategy", "Use rf.bounded(seconds=5), rf.monotonic() ...")
        spec = StreamSpec(
            serde_of(bytes if key is None else key, "key="),
            json if value is None else serde_of(value, "value="),
            timestamp,
            watermark or monotonic(),
            None if idle_after is None else milliseconds_of(idle_after, "idle_after="),
            check_on_error(on_error),
        )
        node = self.graph.add("stream", spec, name=name, topic=ref)
        if sample is not None:
            self._keep_sample(ref, sample, spec)
        return Stream(Flow(self.graph, node, spec.key, spec.value))

    def _keep_sample(self, topic: TopicRef, given: Any, spec: StreamSpec) -> None:
        if topic in self.graph.samples:
            raise invalid(f"topic {topic} has a sample already", "Give sample= once for each topic")
        if callable(given):
            check_function(given, "stream(sample=)", gives="a list of values, or write yield")
            values = given
        elif isinstance(given, Iterable) and not isinstance(given, str | bytes):
            kept = tuple(given)
            values = kept.__iter__
        else:
            raise invalid(f"sample= is a {type(given).__name__}", "Give a list of values or a function that gives them")
        self.graph.samples[topic] = Sample(values, spec.value, spec.timestamp)

    def __repr__(self) -> str:
        return f"<Job {self.name}>"
