"""Ctrl-C and SIGTERM: the first stops the job after a final checkpoint, the second exits immediately."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_LAST_WORDS = b"\x1b[?25h\nexited without a final checkpoint; no data is lost: the next run resumes from the last one\n"


@contextmanager
def stopping(stop: Callable[[], None], last_words: bytes = _LAST_WORDS) -> Iterator[None]:
    """Call `stop` at the first SIGINT or SIGTERM; at the second restore the terminal's cursor and exit with code 1.

    Handlers run between two steps of the main thread, so `stop` must not wait or take locks. A KeyboardInterrupt in
    its place could be raised anywhere, also where Python or a library drops it. `last_words`: printed before the exit.
    """
    asked = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            if sys.stderr.isatty():
                os.write(2, last_words)
            os._exit(1)
        asked = True
        stop()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
