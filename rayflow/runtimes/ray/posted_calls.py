"""Calls that other threads post to a loop, which makes them on its own thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

WAIT = 0.02
"""The most seconds that `wait` waits: a loop without work must look at its epochs from time to time."""


class PostedCalls:
    """`post` and `wake` are called from any thread, `make` and `wait` from the loop's."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()

    def post(self, call: Callable[[], None]) -> None:
        """Let the loop's thread make a call."""
        self._calls.append(call)
        self._wake.set()

    def wake(self) -> None:
        """End the loop's wait."""
        self._wake.set()

    def make(self) -> None:
        """Make the posted calls, in order."""
        while self._calls:
            self._calls.popleft()()

    def wait(self) -> None:
        """Wait for `post` or `wake`, WAIT seconds at most."""
        self._wake.wait(WAIT)
        self._wake.clear()
