"""Runs calls of operators: coroutines on an event loop in its own thread, other functions in a thread pool."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rayflow.core.ids import TaskId
from rayflow.engine.events import CallsDone
from rayflow.operators.calling import Call, Outcome

MOST_THREADS = 64
"""The maximum number of functions without `async` that run at the same time."""
LAST_WORDS = 5.0
"""Seconds that coroutines have to end after they are cancelled."""


class LoopCalls:
    """See `hosting.ports.Calls`. The event loop starts with the first call.

    Every exception of a function becomes the outcome of its call. One that is no Exception (for example CancelledError
    or SystemExit) becomes a RuntimeError that names it.
    """

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        """`wake` is called, on another thread, when an outcome is available."""
        self._wake = wake
        self._done: deque[tuple[TaskId, str, Outcome]] = deque()
        self._calling: _Calling | None = None

    def start(self, task: TaskId, operator: str, calls: Sequence[Call]) -> None:
        if self._calling is None:
            self._calling = _Calling(self._outcome)
        self._calling.start(task, operator, calls)

    def done(self) -> list[CallsDone]:
        found: dict[tuple[TaskId, str], list[Outcome]] = {}
        for _ in range(len(self._done)):
            task, operator, outcome = self._done.popleft()
            found.setdefault((task, operator), []).append(outcome)
        return [CallsDone(task, operator, outcomes) for (task, operator), outcomes in found.items()]

    def close(self) -> None:
        calling, self._calling = self._calling, None
        self._done = deque()
        if calling is not None:
            calling.close()

    def _outcome(self, calling: _Calling, task: TaskId, operator: str, outcome: Outcome) -> None:
        if calling is self._calling:  # otherwise its attempt is over
            self._done.append((task, operator, outcome))
            if self._wake is not None:
                self._wake()


class _Calling:
    """The event loop of one attempt, its thread, and the pool."""

    def __init__(self, outcome: Callable[[_Calling, TaskId, str, Outcome], None]) -> None:
        self._outcome = outcome
        self._loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(MOST_THREADS, "rayflow-call")
        self._making: set[asyncio.Task[None]] = set()
        self._closing = False
        threading.Thread(target=self._run, name="rayflow-calls", daemon=True).start()

    def start(self, task: TaskId, operator: str, calls: Sequence[Call]) -> None:
        """Make calls."""
        self._loop.call_soon_threadsafe(self._begin, task, operator, calls)

    def close(self) -> None:
        """Cancel the running calls, and end the thread. Returns at once."""
        self._closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _begin(self, task: TaskId, operator: str, calls: Sequence[Call]) -> None:
        for call in calls:
            making = self._loop.create_task(self._make(task, operator, call))
            self._making.add(making)  # the loop itself has only a weak reference to a task
            making.add_done_callback(self._making.discard)

    async def _make(self, task: TaskId, operator: str, call: Call) -> None:
        try:
            if inspect.iscoroutinefunction(call.fn):
                result = await call.fn(call.argument)
            else:
                result, error = await self._loop.run_in_executor(self._pool, _attempt, call)
                if error is not None:
                    raise error
                if inspect.isawaitable(result):
                    result = await result
        except BaseException as error:  # noqa: BLE001 - it is the outcome
            outcome = Outcome(call.number, error=_as_exception(error))
        else:
            outcome = Outcome(call.number, result)
        self._outcome(self, task, operator, outcome)

    def _run(self) -> None:
        loop = self._loop
        try:
            while not self._closing:  # a function may stop the loop on which it runs
                loop.run_forever()
            for making in self._making:
                making.cancel()
            if self._making:
                loop.run_until_complete(asyncio.wait(self._making, timeout=LAST_WORDS))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            loop.close()


def _attempt(call: Call) -> tuple[Any, BaseException | None]:
    """A function's result or error. A future would not pass on some exceptions (StopIteration)."""
    try:
        return call.fn(call.argument), None
    except BaseException as error:  # noqa: BLE001 - it is the outcome
        return None, error


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    told = RuntimeError(f"the function ended with {type(error).__name__}")
    told.__traceback__ = error.__traceback__
    return told
