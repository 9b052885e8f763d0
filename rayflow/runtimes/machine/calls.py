"""Runs calls of operators: coroutines on an event loop in its own thread, other functions in a thread pool."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Callable, Sequence

from rayflow.core.ids import TaskId
from rayflow.engine.events import CallsDone
from rayflow.operators.calling import Call, Outcome


class LoopCalls:
    """See `hosting.ports.Calls`. The event loop starts with the first call."""

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        """`wake` is called, on another thread, when there is something done."""
        self._wake = wake
        self._done: deque[CallsDone] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, task: TaskId, operator: str, calls: Sequence[Call]) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="rayflow-calls", daemon=True).start()
        for call in calls:
            asyncio.run_coroutine_threadsafe(self._make(task, operator, call), self._loop)

    def done(self) -> list[CallsDone]:
        return [self._done.popleft() for _ in range(len(self._done))]

    def close(self) -> None:
        loop, self._loop = self._loop, None
        self._done = deque()
        if loop is not None:
            loop.call_soon_threadsafe(_end, loop)

    async def _make(self, task: TaskId, operator: str, call: Call) -> None:
        done = self._done  # of this attempt: another one has its own
        try:
            if inspect.iscoroutinefunction(call.fn):
                result = await call.fn(call.argument)
            else:
                result = await asyncio.to_thread(call.fn, call.argument)
                if inspect.isawaitable(result):
                    result = await result
        except Exception as error:  # noqa: BLE001 - it is the outcome
            outcome = Outcome(call.number, error=error)
        else:
            outcome = Outcome(call.number, result)
        done.append(CallsDone(task, operator, [outcome]))
        if self._wake is not None:
            self._wake()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)
