"""Simulated background calls: a thread of the process, whose calls take a simulated time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from rayflow.runtimes.simulated.surroundings import MILLISECOND

T = TypeVar("T")


class Threads(Protocol):
    """A process, as background work needs it."""

    def spawn(self, run: Callable[[], None]) -> None:
        """Start a thread."""

    def pause(self, delay: int) -> None:
        """Let time pass, microseconds."""

    def wake(self) -> None:
        """Wake the main thread."""


@dataclass(slots=True)
class _Call:
    call: Callable[[], Any]
    then: Callable[[Any], None]
    done: bool = False
    result: Any = None
    error: Exception | None = None


class SimulatedBackground:
    """See `hosting.ports.Background`."""

    def __init__(self, process: Threads) -> None:
        self._process = process
        self._calls: deque[_Call] = deque()
        self._waiting: deque[_Call] = deque()
        self._running = False

    def call(self, call: Callable[[], T], then: Callable[[T], None]) -> None:
        entry = _Call(call, then)
        self._calls.append(entry)
        self._waiting.append(entry)
        if not self._running:
            self._running = True
            self._process.spawn(self._run)

    def collect(self) -> bool:
        worked = False
        while self._calls and self._calls[0].done:
            entry = self._calls.popleft()
            if entry.error is not None:
                raise entry.error
            entry.then(entry.result)
            worked = True
        return worked

    def wait(self, timeout: float) -> None:
        self._process.pause(max(1, int(timeout * 1000 * MILLISECOND)))

    @property
    def waiting(self) -> int:
        return len(self._calls)

    def close(self) -> None:
        self._waiting.clear()
        while self._running:
            self._process.pause(MILLISECOND // 5)
        self._calls.clear()

    def abandon(self) -> None:
        self._waiting.clear()
        self._calls.clear()

    def _run(self) -> None:
        while self._waiting:
            entry = self._waiting.popleft()
            try:
                entry.result = entry.call()
            except Exception as error:  # noqa: BLE001 - whoever collects raises it
                entry.error = error
            entry.done = True
            self._process.wake()
        self._running = False
