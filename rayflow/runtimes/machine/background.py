"""Runs blocking calls on a background thread, and returns the results on the driver's thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

AT_ONCE = 16
"""The maximum number of calls that `together` runs at the same time."""


class Thread:
    """Runs calls one after the other on one thread; `collect` runs their callbacks on the caller's thread.

    It is one thread, because the store's writes must keep their order, and a second busy thread would compete for the
    GIL. It is a daemon, because a call that hangs must not delay the end of the process (an executor's threads would).
    """

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        """`wake` is called, on the thread of the calls, when there is something to collect."""
        self._wake = wake
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._over = False
        self._calls: deque[tuple[Future[Any], Callable[[Any], None]]] = deque()

    def call(self, call: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `call` on the thread; a later `collect` passes its result to `then`, or raises its error."""
        if self._over:
            raise RuntimeError("calls after the end of the background")
        future: Future[T] = Future()
        self._calls.append((future, then))
        if self._wake is not None:
            wake = self._wake
            future.add_done_callback(lambda _: wake())
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._queue,), name="rayflow-store", daemon=True)
            self._thread.start()
        self._queue.put((future, call))

    def collect(self) -> bool:
        """Run the callbacks of the finished calls, in order. True if there was one."""
        worked = False
        while self._calls and self._calls[0][0].done():
            future, then = self._calls.popleft()
            then(future.result())
            worked = True
        return worked

    def wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the oldest call to finish; without calls, just wait."""
        if self._calls:
            wait([self._calls[0][0]], timeout)
        else:
            time.sleep(timeout)

    @property
    def waiting(self) -> int:
        """Calls that have not been collected yet."""
        return len(self._calls)

    def close(self) -> None:
        """Let the running call finish, and drop those that have not started."""
        self.abandon()
        if self._thread is not None:
            self._thread.join()

    def abandon(self) -> None:
        """Drop all calls. The running one, if any, ends later or never."""
        self._over = True
        for future, _ in self._calls:
            future.cancel()
        self._calls.clear()
        self._queue.put(None)


def _serve(queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]) -> None:
    while (work := queue.get()) is not None:
        future, call = work
        if future.set_running_or_notify_cancel():
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - whoever collects raises it
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
        del work, future, call  # keep nothing alive while the thread waits


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of several calls, in order. Many of them run at the same time, each on its own thread.

    >>> together([lambda: 1, lambda: 2])
    [1, 2]
    """
    if len(calls) <= AT_ONCE:
        return [call() for call in calls]
    with ThreadPoolExecutor(AT_ONCE, "rayflow-reads") as pool:
        return list(pool.map(lambda call: call(), calls))
