"""A thread for calls that block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class Caller:
    """Runs blocking calls in order in a thread of its own, which starts with the first one.

    A call of librdkafka may never return (`send_offsets_to_transaction` outlasts its timeout while it looks for a
    group's coordinator: librdkafka issues 5456 and 5511). So the thread is a daemon, which does not keep the process
    from ending, and a caller whose call hangs is left behind for a new one.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last: Future[Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call has not returned."""
        return self._last is not None and not self._last.done()

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run a call after those before it; the future gives what it returns or raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=_run, args=(self._calls,), name="rayflow-kafka", daemon=True)
            self._thread.start()
        self._last = Future()
        self._calls.put((self._last, call))
        return self._last

    def close(self) -> None:
        """End the thread after the calls it was given. Does not wait."""
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
        # What a call holds on to (a producer) is let go of now, not when the next call comes.
        del item, future, call
