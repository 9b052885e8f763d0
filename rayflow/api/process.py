"""ProcessFunction: a custom operator with key, event time, headers, state and timers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from rayflow.core.batch import Headers

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")

TimerClock: TypeAlias = Literal["event", "processing"]


class Context(ABC):
    """The record (or the timer) that a ProcessFunction is called for. Valid only during that call.

    Attributes:
        key: the record's key; in `on_timer` the key that the timer was set for.
        timestamp: event time in ms since the Unix epoch; in `on_timer` the timer's time.
        watermark: ms below which no more records are expected; `rayflow.core.ids.WATERMARK_MIN` while unknown.
        headers: the record's headers in order; empty in `on_timer`.
        topic, partition, offset: where the record came from; in `on_timer` the operator's id, its task's partition
            and -1.
    """

    key: Any
    timestamp: int
    watermark: int
    headers: Headers
    topic: str
    partition: int
    offset: int

    @abstractmethod
    def timer_at(self, at: int, *, clock: TimerClock = "event") -> None:
        """Call `on_timer` for this key when the clock reaches `at` (ms since the Unix epoch).

        "event": when the watermark reaches it. "processing": when the machine's wall clock does. Setting the same
        time twice sets one timer. Needs a keyed stream.
        """

    @abstractmethod
    def timer_in(self, duration: timedelta, *, clock: TimerClock = "event") -> None:
        """Like `timer_at`, relative to the record's timestamp ("event") or to now ("processing")."""


class ProcessFunction(ABC, Generic[K, V, R]):
    """Base class of custom operators, with state and timers per key. Each task has one instance.

    Declare states in the class (`rf.value`, `rf.list`, `rf.map`). Other attributes of an instance are lost when
    its task moves or restarts.

    >>> import rayflow as rf
    >>> class Average(rf.ProcessFunction[str, float, float]):
    ...     total = rf.value(0.0)
    ...     count = rf.value(0)
    ...
    ...     def process(self, value, ctx):
    ...         self.total.set(self.total.get() + value)
    ...         self.count.set(self.count.get() + 1)
    ...         yield self.total.get() / self.count.get()
    >>> job = rf.Job("averages")
    >>> job.stream("prices", value=float).key_by(lambda price: "all").process(Average).to("averages")
    >>> with rf.testing.Driver(job) as d:
    ...     d.send_all("prices", [1.0, 2.0, 6.0])
    ...     d.read("averages")
    [1.0, 1.5, 3.0]
    """

    @abstractmethod
    def process(self, value: V, ctx: Context) -> Iterable[R] | None:
        """Process one record and return its results, or None. Results get the record's key and timestamp."""

    def on_timer(self, at: int, ctx: Context) -> Iterable[R] | None:
        """Called when a timer of `ctx.key` is due at time `at` (ms). Results get the timer's key and time."""
        return None


def has_timers(function: type[Any]) -> bool:
    """Whether a ProcessFunction class handles timers."""
    return function.on_timer is not ProcessFunction.on_timer
