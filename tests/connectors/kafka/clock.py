"""A clock for tests, in place of the module `time`."""

from __future__ import annotations


class Clock:
    """Time that passes only while somebody sleeps, or sets it forward."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
