"""Runs workloads: every contender in turn, round after round, each run in its own process and checked."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers import Answers, records
from benchmarks.contenders import CONTENDERS, Place
from benchmarks.measure import Usage, measured
from benchmarks.orders import Topics
from benchmarks.workloads import Workload

TINY = 100
"""Records of the topic on which start-up is measured."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, start-up taken out. `start_up` is what was taken out; `records` went in, `outputs` came out."""

    workload: str
    contender: str
    round: int
    records: int
    outputs: int
    used: Usage
    start_up: Usage

    @property
    def microseconds(self) -> float:
        """CPU time per record, us."""
        return self.used.cpu * 1e6 / self.records

    def facts(self) -> dict[str, Any]:
        """For the JSON file."""
        return {**dataclasses.asdict(self), "us_per_record": round(self.microseconds, 4)}


class Campaign:
    """All runs of one call.

    Args:
        folder: for state and logs; a run's state is deleted once it has been checked.
    """

    def __init__(self, topics: Topics, source: str, tiny: str, count: int, answers: Answers, folder: Path) -> None:
        self._topics = topics
        self._source = source
        self._tiny = tiny
        self._records = count
        self._answers = answers
        self._folder = folder

    def start_up(self, workload: Workload, contender: str) -> Usage:
        """The cheaper of two runs on a tiny topic: imports, connections, the first and the last commit."""
        runs = [self._measure(workload, contender, self._tiny, check=False)[0] for _ in range(2)]
        return min(runs, key=lambda usage: usage.cpu)

    def runs(self, workload: Workload, rounds: int, contenders: Sequence[str]) -> Iterator[Run]:
        """Every run of a workload, as it ends. Raises WrongResult, RunFailed."""
        start_ups = {contender: self.start_up(workload, contender) for contender in contenders}
        for number in range(1, rounds + 1):
            for contender in contenders:
                used, outputs = self._measure(workload, contender, self._source, check=True)
                start_up = start_ups[contender]
                yield Run(workload.name, contender, number, self._records, outputs, used.without(start_up), start_up)

    def _measure(self, workload: Workload, contender: str, source: str, *, check: bool) -> tuple[Usage, int]:
        name = f"bench-{contender.replace(' ', '')}-{workload.name}-{uuid.uuid4().hex[:8]}"
        place = Place(name, self._topics.broker, source, f"{name}-out", self._folder / name)
        self._topics.create(place.sink)
        try:
            used = measured(CONTENDERS[contender](workload, place), self._folder / f"{name}.log")
            answer = contenders_answer(workload, contender)
            outputs = self._answers.check(answer, records(self._topics.read(place.sink))) if check else 0
        finally:
            self._topics.delete(place.sink)
        shutil.rmtree(place.state, ignore_errors=True)
        return used, outputs


def contenders_answer(workload: Workload, contender: str) -> str:
    """The check for a contender: the loop may do more than rayflow (every update, where rayflow writes the newest)."""
    if contender == "by hand" and workload.by_hand == "count":
        return "updates_per_user"
    return workload.answer
