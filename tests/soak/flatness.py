"""Whether what was sampled has grown: the last third of a soak compared with the second one.

The first third is left out: caches fill, LMDB's files and the allocator find their size, the first bases are written.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.soak.samples import Sample

FEWEST = 3
"""Samples of each third without which there is no verdict."""
SHORTEST = 180.0
"""Seconds to compare without which there is none: a third must have many phases of the load, kills and bases."""
MIB = float(1 << 20)


@dataclass(frozen=True)
class Bound:
    """How far the last third may be above the second: `factor` times it, and `more`.

    Args:
        figure: what stands for a third. `why`: the reason for factor and more.
        ages: only samples of processes that are so old, seconds.
    """

    figure: Literal["median", "highest"]
    factor: float
    more: float
    why: str
    ages: tuple[float, float] | None = None

    def of(self, samples: Sequence[Sample]) -> float:
        """What stands for these samples."""
        values = [sample.value for sample in samples]
        return statistics.median(values) if self.figure == "median" else max(values)


BOUNDS: dict[str, Bound] = {
    "rows": Bound("median", 1.3, 60, "the load varies: 10 to 50 sessions are open at once, in phases of seconds"),
    "checkpoint files": Bound(
        "highest", 1.3, 60, "a saw: up to 200 deltas between two bases, tasks each in their turn"
    ),
    "checkpoint bytes": Bound("highest", 1.3, 4 * MIB, "the same saw; deltas are as large as the load has phases"),
    "state files": Bound("highest", 1.0, 4, "a fixed set per task and side; 4 that are there for a moment"),
    "state bytes": Bound("highest", 1.3, 4 * MIB, "LMDB never gives pages back, and a burst takes some more"),
    "private memory": Bound("median", 1.15, 8 * MIB, "what is read first depends on where the kill was", (5.0, 9.0)),
    "open files": Bound("highest", 1.0, 8, "connections to the broker open and close", (3.0, 1e9)),
    "threads": Bound(
        "median", 1.0, 2, "producers that are started anew while a broker is away overlap for seconds", (3.0, 1e9)
    ),
    "groups": Bound("highest", 1.0, 0, "the job has two groups, the soak's readers commit nothing"),
    "topics": Bound("highest", 1.0, 0, "all topics are made by the first run"),
    "transactional ids": Bound("highest", 1.0, 0, "one per worker slot, whatever the attempt"),
}
"""By the name of the figure, or what it begins with."""

LONG = {
    "private memory": Bound(
        "median", 1.1, 12 * MIB, "the clean cache keeps rows of a minute's new sessions, at most 1 MiB per task"
    ),
    "open files": BOUNDS["open files"],
    "threads": BOUNDS["threads"],
}
"""Within one long life under the usual load."""
CALM = {**LONG, "rows": Bound("median", 1.2, 40, "30 sessions are open at once, and begin and end at random")}
"""Within a long life under an even load, once it has as many rows as it will have."""


@dataclass(frozen=True)
class Life:
    """Seconds (since the load began) in which one process is left alone, and what must not grow in it."""

    name: str
    begin: float
    end: float
    bounds: Mapping[str, Bound]


@dataclass(frozen=True)
class Verdict:
    """What became of one figure. `grown`: None when there were too few samples to tell."""

    name: str
    samples: int
    second: float | None
    last: float | None
    limit: float | None
    grown: bool | None


def verdicts(samples: dict[str, list[Sample]], begin: float, end: float) -> list[Verdict]:
    """Compare the thirds of [begin, end) (seconds since the load began) for every figure."""
    if end - begin < SHORTEST:
        return [Verdict(name, len(all_of_it), None, None, None, None) for name, all_of_it in sorted(samples.items())]
    found = []
    for name, all_of_it in sorted(samples.items()):
        bound = next(bound for start, bound in BOUNDS.items() if name.startswith(start))
        aged = [sample for sample in all_of_it if _has_age(sample, bound.ages)]
        found.append(_compare(name, aged, bound, begin, end))
    return found


def verdicts_of_life(samples: dict[str, list[Sample]], life: Life) -> list[Verdict]:
    """Compare the thirds of one process's life."""
    return [
        _compare(f"{name} in {life.name}", all_of_it, bound, life.begin, life.end)
        for name, all_of_it in sorted(samples.items())
        for start, bound in life.bounds.items()
        if name.startswith(start)
    ]


def _compare(name: str, samples: Sequence[Sample], bound: Bound, begin: float, end: float) -> Verdict:
    """Compare the last third of [begin, end) with the second."""
    third = (end - begin) / 3
    second = [sample for sample in samples if begin + third <= sample.at < begin + 2 * third]
    last = [sample for sample in samples if begin + 2 * third <= sample.at < end]
    if min(len(second), len(last)) < FEWEST:
        return Verdict(name, len(samples), None, None, None, None)
    before, after = bound.of(second), bound.of(last)
    limit = before * bound.factor + bound.more
    return Verdict(name, len(samples), before, after, limit, after > limit)


def _has_age(sample: Sample, ages: tuple[float, float] | None) -> bool:
    return ages is None or (sample.age is not None and ages[0] <= sample.age < ages[1])
