"""Virtual time and random decisions: every event of a simulation, in order."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count

START = 1_000_000_000_000_000
"""The start time, in microseconds since the Unix epoch."""


class Schedule:
    """A queue of calls by virtual time (microseconds). Calls for the same time run in the order of their requests.

    Attributes:
        happened: how often each kind of fault has happened.

    >>> schedule = Schedule(seed=1)
    >>> schedule.after(20, lambda: print("later"))
    >>> schedule.after(10, lambda: print("sooner"))
    >>> while schedule.step(): pass
    sooner
    later
    """

    def __init__(self, seed: int) -> None:
        self.now = START
        self.random = random.Random(seed)
        self.steps = 0
        self.happened: Counter[str] = Counter()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = count()

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the start."""
        return (self.now - START) / 1e6

    def after(self, delay: int, call: Callable[[], None]) -> None:
        """Call `call` in `delay` microseconds."""
        heapq.heappush(self._queue, (self.now + delay, next(self._number), call))

    def step(self) -> bool:
        """Run the next call. False if there is none."""
        if not self._queue:
            return False
        at, _, call = heapq.heappop(self._queue)
        self.now = max(self.now, at)
        self.steps += 1
        call()
        return True

    def chance(self, rate: float, fault: str, *place: object) -> bool:
        """True with probability `rate`; then `fault` is counted. Every fault is decided here; `place` identifies the
        occasion."""
        if rate <= 0 or self.random.random() >= rate:
            return False
        self.happened[fault] += 1
        return True
