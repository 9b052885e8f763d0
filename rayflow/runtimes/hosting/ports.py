"""The ports of a driver: its access to time, background work, the checkpoint store and connectors.

The network is a port, too: the functions `tell` and `send`, which a driver gets as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rayflow.checkpoint.store import CheckpointStore
from rayflow.connectors.base import Connector
from rayflow.core.clock import Clock
from rayflow.core.ids import TaskId
from rayflow.core.topics import ConnectorSpec, TopicRef
from rayflow.engine.events import CallsDone
from rayflow.operators.calling import Call

T = TypeVar("T")

OnStep = Callable[[str], None]
"""Called with the name of a step, before and after the step. Tests crash jobs there."""


def no_step(name: str) -> None:
    """A step hook that does nothing."""


class Background(Protocol):
    """Runs calls off the driver's thread, one after the other; the callback of each runs on the driver's thread."""

    def call(self, call: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `call`; a later `collect` passes its result to `then`, or raises what it raised. Returns at once."""

    def collect(self) -> bool:
        """Run the callbacks of finished calls, in order. True if there was one."""

    def wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the oldest call to finish; without calls, just wait."""

    @property
    def waiting(self) -> int:
        """Calls that have not been collected yet."""

    def close(self) -> None:
        """Let the running call finish, and drop those that have not started."""

    def abandon(self) -> None:
        """Like `close`, but do not wait for the running call: its result is dropped, and the process may end first."""


class Calls(Protocol):
    """Makes the calls that operators request (`StartCalls` states the rules), outside of the driver's thread."""

    def start(self, task: TaskId, operator: str, calls: Sequence[Call]) -> None:
        """Make calls. Returns at once."""

    def done(self) -> list[CallsDone]:
        """The outcomes of calls since the last `done`: one per call, in any order, even if the call raised an error.
        One event per operator of a task."""

    def close(self) -> None:
        """End the attempt: drop the calls in flight."""


class Together(Protocol):
    """Makes several blocking calls."""

    def __call__(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Return the results in order. The calls may run at the same time. Raises the error of one of them."""


def one_by_one(calls: Sequence[Callable[[], T]]) -> list[T]:
    """One call after the other, on the caller's thread."""
    return [call() for call in calls]


class Connectors(Protocol):
    """The connectors of a run, by the topics that a job refers to."""

    def spec(self, topic: TopicRef) -> ConnectorSpec:
        """The connector of a topic, as its specification."""

    def of(self, topic: TopicRef) -> Connector:
        """The connector of a topic."""

    def open(self, spec: ConnectorSpec) -> Connector:
        """The connector of a spec; the same object each time."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a driver.

    Attributes:
        clock: the wall clock, ms since the Unix epoch.
        monotonic: seconds; only differences have a meaning.
        background: creates a queue of background calls.
        calls: creates the object that makes an attempt's operator calls.
        checkpoints: the job's checkpoint store.
        on_step: called before and after each I/O.
        together: for reads of many objects.
    """

    clock: Clock
    monotonic: Callable[[], float]
    background: Callable[[], Background]
    calls: Callable[[], Calls]
    checkpoints: CheckpointStore
    connectors: Connectors
    on_step: OnStep = no_step
    together: Together = one_by_one
