"""Keeps the last log lines of a job's processes for `rayflow logs`."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

KEPT = 5_000
"""The number of lines that are kept."""


@dataclass(frozen=True, slots=True)
class LogLines:
    """Log lines of a worker."""

    lines: list[str]


class Journal(logging.Handler):
    """Keeps the last lines; `take` and `after` from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        self.add([self.format(record)])

    def add(self, lines: list[str]) -> None:
        """Add the log lines of another process."""
        with self._guard:
            self._lines.extend(lines)
            self._count += len(lines)

    def take(self) -> list[str]:
        """The lines since the last call."""
        with self._guard:
            lines = list(self._lines)
            self._lines.clear()
        return lines

    def after(self, number: int) -> tuple[int, list[str]]:
        """The kept lines after the first `number` lines, and the total number of lines so far."""
        with self._guard:
            new = min(self._count - number, len(self._lines))
            return self._count, list(self._lines)[len(self._lines) - new :] if new > 0 else []
