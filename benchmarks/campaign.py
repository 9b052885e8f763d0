"""Runs workloads: every contender in turn, round after round, each run in its own process and checked.

What a record costs is the difference between a long run and a short one, over the difference of their records, so
that neither start-up nor (where the short run is long enough) warming up is held against anyone.
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers import Answers, WrongResult, records
from benchmarks.contenders import Contender, Place
from benchmarks.measure import RunFailed, Usage
from benchmarks.orders import Topics
from benchmarks.workloads import Workload

TINY = 100
"""Records of the short run, where it only has to show what a start costs."""
STEADY = 4
"""How much longer the long run is than the short one, where warming up is to be left out too."""


@dataclass(frozen=True, slots=True)
class Run:
    """A short and a long run of one contender. `records` went in more, `outputs` came out of the long one."""

    workload: str
    contender: str
    round: int
    records: int
    outputs: int
    short_records: int
    short: Usage
    long: Usage

    @property
    def microseconds(self) -> float:
        """CPU time per record, us."""
        return (self.long.cpu - self.short.cpu) * 1e6 / self.records

    @property
    def rate(self) -> float:
        """Records per second of wall clock; 0 when the runs are too short to tell."""
        wall = self.long.wall - self.short.wall
        return self.records / wall if wall > 0 else 0.0

    @property
    def start_up(self) -> float:
        """CPU seconds that do not grow with the records: start, end, warming up."""
        return max(0.0, self.short.cpu - self.microseconds * self.short_records / 1e6)

    def facts(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            **dataclasses.asdict(self),
            "us_per_record": round(self.microseconds, 4),
            "records_per_second": round(self.rate),
            "start_up_cpu": round(self.start_up, 3),
        }


@dataclass(frozen=True, slots=True)
class NoResult:
    """A contender that gave none in a workload, and why."""

    workload: str
    contender: str
    why: str


@dataclass(frozen=True, slots=True)
class Input:
    """A topic, how many records it holds, and what becomes of them."""

    topic: str
    count: int
    answers: Answers


class Campaign:
    """All runs of one call.

    Args:
        steady: run the short input anew in every round, as a run that is measured; else it only shows start-up.
        folder: for state and logs; a run's state is deleted once it has been checked.
    """

    def __init__(self, topics: Topics, short: Input, long: Input, folder: Path, *, steady: bool) -> None:
        self._topics = topics
        self._short, self._long = short, long
        self._steady = steady
        self._folder = folder

    def runs(self, workload: Workload, rounds: int, contenders: Sequence[Contender]) -> Iterator[Run | NoResult]:
        """Every run of a workload, as it ends; a contender without a result is out for the rest of the workload."""
        left: list[Contender] = []
        starts: dict[str, Usage] = {}
        for contender in contenders:
            if workload.name not in contender.answers:
                yield NoResult(workload.name, contender.name, "has no such thing: see the workload with every update")
            else:
                left.append(contender)
        for number in range(1, rounds + 1):
            for contender in tuple(left):
                try:
                    yield self._run(workload, contender, number, starts)
                except (WrongResult, RunFailed, TimeoutError) as error:
                    left.remove(contender)
                    yield NoResult(workload.name, contender.name, str(error))

    def _run(self, workload: Workload, contender: Contender, number: int, starts: dict[str, Usage]) -> Run:
        if self._steady:
            short = self._measure(workload, contender, self._short)[0]
        else:
            if contender.name not in starts:
                both = [self._measure(workload, contender, self._short)[0] for _ in range(2)]
                starts[contender.name] = min(both, key=lambda usage: usage.cpu)
            short = starts[contender.name]
        long, outputs = self._measure(workload, contender, self._long)
        more = self._long.count - self._short.count
        return Run(workload.name, contender.name, number, more, outputs, self._short.count, short, long)

    def _measure(self, workload: Workload, contender: Contender, given: Input) -> tuple[Usage, int]:
        name = f"bench-{contender.name.replace(' ', '')}-{workload.name}-{uuid.uuid4().hex[:8]}"
        place = Place(name, self._topics.broker, given.topic, f"{name}-out", self._folder / name)
        self._topics.create(place.sink)
        try:
            used = contender.measured(contender.command(workload, place), self._folder / f"{name}.log")
            found = records(self._topics.read(place.sink))
            outputs = given.answers.check(contender.answers[workload.name], found)
        finally:
            self._topics.delete_with(name)
        shutil.rmtree(place.state, ignore_errors=True)
        return used, outputs
