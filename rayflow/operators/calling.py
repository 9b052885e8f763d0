"""Calls out of the engine: an operator requests them and continues; it receives their outcomes later."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rayflow.operators.base import Operator, Passing


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make.

    Attributes:
        number: identifies the call among those of its operator in its task; the same if it is repeated after a
            recovery.
        fn: what to call: a plain function, or one whose result is awaitable.
        argument: its argument.
    """

    number: int
    fn: Callable[[Any], Any]
    argument: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call: its result, or the error that it raised."""

    number: int
    result: Any = None
    error: Exception | None = None


class CallingOperator(Operator):
    """An operator that makes calls. Each call in flight is in its state before the step that requested it ends. So a
    checkpoint waits for no call, and after a recovery `open` finds the calls and requests them again.

    A task that is `full` receives no records until calls are done, except those that precede the barrier of the epoch
    in flight in a channel. They become state, as calls that have not started; otherwise the barrier would wait for
    calls. There are few of them: what the channels' credit allows in flight, and what other workers send before the
    barrier reaches them.

    It holds event time back for what is in flight. At the end of a bounded run the task waits until nothing is, before
    it passes to the next operators.
    """

    holds = True

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """The number of calls without an outcome, including those that were not requested yet."""

    @property
    def holding(self) -> bool:
        return self.in_flight > 0

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether the task should receive no records until some calls have an outcome."""

    @abstractmethod
    def calls(self) -> list[Call]:
        """The calls to make now, each requested once. Read after each step, for the first time after `open`."""

    @abstractmethod
    def on_calls(self, outcomes: Sequence[Outcome], watermark: int) -> Passing:
        """Handle the outcomes of calls, in any order. `watermark`: the last one passed to `on_watermark`.

        Returns the watermark that can be let through now.
        """
