"""ProcessFunction: the user's own operator, with key, event time, headers, state and timers."""

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
    """What a ProcessFunction knows of the record (or the timer) that it is called for. Valid during that call only.

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
        time twice is setting it once. Needs a keyed stream.
        """

    @abstractmethod
    def timer_in(self, duration: timedelta, *, clock: TimerClock = "event") -> None:
        """As `timer_at`, counted from the record's timestamp ("event") or from now ("processing")."""


class ProcessFunction(ABC, Generic[K, V, R]):
    """A user's own operator: one instance per task; states and timers belong to the current key.

    Declare states in the class (`rf.value`, `rf.list`, `rf.map`). Anything else that an instance holds is lost when
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
        """Take one record and give the results (None: there is none), with the record's key and timestamp."""

    def on_timer(self, at: int, ctx: Context) -> Iterable[R] | None:
        """A timer of `ctx.key` is due; `at` is its time in ms. Results get the timer's key and time."""
        return None


def has_timers(function: type[Any]) -> bool:
    """Whether a ProcessFunction class answers timers."""
    return function.on_timer is not ProcessFunction.on_timer
