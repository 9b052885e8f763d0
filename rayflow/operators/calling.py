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
        number: names the call among those of its operator in its task; the same when it is made again after a recovery.
        fn: what to call; a plain function, or one whose result is to be awaited. argument: with what.
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
    """An operator that has calls made. Whatever it has in flight is in its state, before the step ends that it asked
    in: a checkpoint waits for no call, and after a recovery `open` finds them and asks for them again.

    A task that is `full` is given no records until calls are done, except those that stand in a channel before the
    barrier of the epoch in flight. They become state as well, calls that have not begun; else the barrier would wait
    behind them for calls. They are few: what the channels' credit lets be on its way, and what the other workers send
    until the barrier has reached them.

    It holds event time back for what is in flight. At the end of a bounded run the task waits until nothing is, before
    it passes to the next operators.
    """

    holds = True

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """How many calls have no outcome yet, those that were not asked for yet included."""

    @property
    def holding(self) -> bool:
        return self.in_flight > 0

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether the task should receive no records until some calls have an outcome."""

    @abstractmethod
    def calls(self) -> list[Call]:
        """The calls to make from now on, each asked for once; taken after each step, the first time after `open`."""

    @abstractmethod
    def on_calls(self, outcomes: Sequence[Outcome], watermark: int) -> Passing:
        """Take the outcomes of calls, in any order. `watermark`: what `on_watermark` was given last.

        Returns what is let through of it by now.
        """
