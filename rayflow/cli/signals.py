"""Ctrl-C and SIGTERM: the first asks the job to stop cleanly, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_LAST_WORDS = b"\x1b[?25h\nended at once; nothing is lost: the next run goes on from the last checkpoint\n"


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first SIGINT or SIGTERM; at the second give the terminal its cursor back and exit with 1.

    Handlers run between two steps of the main thread, so `stop` must not wait or take locks.
    """
    asked = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            if sys.stderr.isatty():
                os.write(2, _LAST_WORDS)
            os._exit(1)
        asked = True
        stop()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
