"""Clocks, which are passed as arguments: the engine never reads the machine's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Returns the wall-clock time in ms since the Unix epoch."""


def system_clock() -> int:
    """The machine's wall clock, ms since the Unix epoch."""
    return time.time_ns() // 1_000_000
