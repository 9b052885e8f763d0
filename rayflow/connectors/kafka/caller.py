"""A thread for blocking calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class Caller:
    """Runs blocking calls in order in its own thread, which starts with the first call.

    A call of librdkafka may never return: `send_offsets_to_transaction` exceeds its timeout while it looks for a
    group's coordinator (librdkafka issues 5456 and 5511). So the thread is a daemon, which does not prevent the process
    from ending. If a call hangs, abandon the caller and create a new one.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last: Future[Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call has not returned yet."""
        return self._last is not None and not self._last.done()

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run a call after the earlier ones; the future gets its result or its exception."""
        if self._thread is None:
            self._thread = threading.Thread(target=_run, args=(self._calls,), name="rayflow-kafka", daemon=True)
            self._thread.start()
        self._last = Future()
        self._calls.put((self._last, call))
        return self._last

    def close(self) -> None:
        """End the thread after its pending calls. Does not wait."""
        self._calls.put(None)


def _run(calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]) -> None:
    while (item := calls.get()) is not None:
        future, call = item
        try:
            answer = call()
        except Exception as failure:  # noqa: BLE001 - whatever the call met is the future's
            future.set_exception(failure)
        else:
            future.set_result(answer)
        # Release what the call refers to (a producer) now, not when the next call arrives.
        del item, future, call
