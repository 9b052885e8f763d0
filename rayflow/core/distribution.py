"""Counts durations in buckets. One process can add the counts of another, whatever their number."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets."""
_MILLISECONDS = tuple(round(bound * 1000) for bound in SECONDS)


@dataclass(slots=True)
class Distribution:
    """The number of durations, by their length.

    Attributes:
        within: the number of durations up to each bound of SECONDS; the last one: all.
        spent: their sum, in seconds.

    >>> took = Distribution()
    >>> took.observe(0.02)
    >>> took.observe_since([1_000, 9_000], now=10_000)
    >>> took.count, took.spent, took.within[2]
    (3, 10.02, 1)
    """

    within: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    spent: float = 0.0

    @property
    def count(self) -> int:
        """The number of durations."""
        return self.within[-1]

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        first = bisect_left(SECONDS, seconds)
        self._add([0] * first + [1] * (len(self.within) - first), seconds)

    def observe_since(self, timestamps: Sequence[int], now: int) -> None:
        """Count `now` - timestamp (both ms) for each timestamp of a column, without a call per timestamp."""
        if not timestamps:
            return
        ages = sorted(timestamps)
        total = len(ages)
        # A record is within a bound if its timestamp is at or after now - bound.
        within = [total - bisect_left(ages, now - bound) for bound in _MILLISECONDS]
        self._add([*within, total], (now * total - sum(ages)) / 1000)

    def add(self, more: Distribution) -> None:
        """Add the counts of another distribution."""
        self._add(more.within, more.spent)

    def since(self, before: Distribution) -> Distribution:
        """The counts that were added since it was equal to `before`."""
        return Distribution([a - b for a, b in zip(self.within, before.within, strict=True)], self.spent - before.spent)

    def copy(self) -> Distribution:
        """A copy of the current counts."""
        return Distribution(list(self.within), self.spent)

    def _add(self, within: Sequence[int], spent: float) -> None:
        self.within = [a + b for a, b in zip(self.within, within, strict=True)]
        self.spent += spent
