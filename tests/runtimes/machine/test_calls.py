"""Calls on a real machine: each has exactly one outcome, and closing leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rayflow.core.ids import TaskId
from rayflow.engine.events import CallsDone
from rayflow.operators.calling import Call, Outcome
from rayflow.runtimes.machine import calls as module
from rayflow.runtimes.machine.calls import LoopCalls
from tests.kafka.client import until

TASK = TaskId("s1", 0)


class Making:
    """Calls, and what has come of them."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.calls = LoopCalls(self.woken.set)
        self.events: list[CallsDone] = []

    def make(self, *functions: Callable[[Any], Any]) -> dict[int, Outcome]:
        """The outcome of each function, called with its number."""
        self.calls.start(TASK, "ask", [Call(number, fn, number) for number, fn in enumerate(functions)])
        outcomes: dict[int, Outcome] = {}
        while len(outcomes) < len(functions):
            assert self.woken.wait(60), f"only {sorted(outcomes)} have an outcome"
            self.woken.clear()
            self.events += (found := self.calls.done())
            for event in found:
                for outcome in event.outcomes:
                    assert outcome.number not in outcomes
                    outcomes[outcome.number] = outcome
        return outcomes


@pytest.fixture
def making() -> Iterator[Making]:
    making = Making()
    yield making
    making.calls.close()


async def twice(n: int) -> int:
    await asyncio.sleep(0)
    return n * 2


def plain(n: int) -> int:
    return n * 2


def awaitable(n: int) -> Any:
    return twice(n)


def test_coroutines_and_functions_have_their_result(making: Making) -> None:
    assert [outcome.result for _, outcome in sorted(making.make(twice, plain, awaitable).items())] == [0, 2, 4]


def cancelled(n: int) -> None:
    raise asyncio.CancelledError


async def cancels(n: int) -> None:
    raise asyncio.CancelledError


async def cancels_itself(n: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


def stops(n: int) -> None:
    raise StopIteration


async def stops_awaited(n: int) -> None:
    raise StopIteration


def exits(n: int) -> None:
    raise SystemExit(3)


async def exits_awaited(n: int) -> None:
    raise SystemExit(3)


async def stops_the_loop(n: int) -> None:
    asyncio.get_running_loop().stop()
    raise ValueError("stopped")


@pytest.mark.parametrize(
    "fn", [cancelled, cancels, cancels_itself, stops, stops_awaited, exits, exits_awaited, stops_the_loop]
)
def test_whatever_is_raised_is_the_outcome(fn: Callable[[int], Any], making: Making) -> None:
    outcomes = making.make(fn, twice, plain)
    assert isinstance(outcomes[0].error, Exception)
    assert (outcomes[1].result, outcomes[2].result) == (2, 4)


def test_what_is_done_by_one_turn_is_one_event_for_each_operator(making: Making) -> None:
    last = threading.Event()

    async def counted(n: int) -> None:
        return None

    async def counted_last(n: int) -> None:
        last.set()

    making.calls.start(TASK, "ask", [Call(number, counted, number) for number in range(50)])
    making.calls.start(TASK, "again", [Call(number, counted, number) for number in range(50)])
    making.calls.start(TASK, "ask", [Call(50, counted_last, 50), Call(51, counted, 51)])
    assert last.wait(60)
    first = making.calls.done()
    assert [(event.operator, len(event.outcomes)) for event in first][1:] == [("again", 50)]
    assert (first[0].operator, first[0].outcomes[0].number) == ("ask", 0)
    assert len(first[0].outcomes) >= 50


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("rayflow-call")}


def test_closing_ends_the_threads_and_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threads()
    loops: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def new() -> asyncio.AbstractEventLoop:
        loops.append(make())
        return loops[-1]

    monkeypatch.setattr(module.asyncio, "new_event_loop", new)
    making = Making()
    making.make(twice, plain)
    ended = threading.Event()

    async def forever(n: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    making.calls.start(TASK, "ask", [Call(7, forever, 7)])
    making.calls.start(TASK, "ask", [Call(8, plain, 8)])
    making.calls.close()
    assert making.calls.done() == []
    until(lambda: threads() <= before, 60, 0.01)
    (loop,) = loops
    assert loop.is_closed()
    assert making.calls.done() == []


def test_another_attempt_hears_nothing_of_the_one_before(making: Making) -> None:
    begun, go_on, gone = threading.Event(), threading.Event(), threading.Event()

    def slow(n: int) -> None:
        begun.set()
        assert go_on.wait(60)
        gone.set()

    making.calls.start(TASK, "ask", [Call(99, slow, 99)])
    assert begun.wait(60)
    making.calls.close()
    go_on.set()
    assert gone.wait(60)
    assert making.make(twice)[0].result == 0
    assert [outcome.number for event in making.events for outcome in event.outcomes] == [0]
