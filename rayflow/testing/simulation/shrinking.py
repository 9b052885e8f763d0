"""Finds the smallest case that fails like a seed: fewer faults, records, sinks, stages, partitions and workers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import msgspec

from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.simulation import STEPS, Simulation, SimulationFailed
from rayflow.testing.simulation.world import OnNote

SALTS = 3
"""How many orders of events are tried for a smaller case, because omitting one fault changes everything after it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One simulation with an explicit list of its faults.

    Attributes:
        seed: determines the rates and durations of faults.
        records: their number, written within `seconds`.
        workers: their maximum number in an attempt.
        faults: only these happen; None: as drawn.
        salt: 0 is the seed's own order of events; other numbers are other orders.
    """

    seed: int
    shape: Shape
    records: int
    seconds: float
    workers: int
    faults: tuple[str, ...] | None = None
    salt: int = 0

    @classmethod
    def of_seed(cls, seed: int) -> Case:
        """The case that the seed draws."""
        drawn = Simulation(seed)
        return cls(seed, drawn.shape, drawn.feeder.records, drawn.feeder.seconds, 4)

    @classmethod
    def parse(cls, text: str) -> Case:
        """Parse the result of `text`. Raises ValueError."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError as error:
            raise ValueError(f"not a case: {error}") from error

    def text(self) -> str:
        """As JSON, in one line."""
        return msgspec.json.encode(self).decode()

    @property
    def size(self) -> tuple[float, ...]:
        """For comparing cases: fewer faults are simpler, then fewer of everything else."""
        shape = self.shape
        faults, partitions = len(self.faults or ()), shape.partitions + shape.other
        job = (len(shape.branches), shape.stages + shape.stragglers, self.workers, partitions)
        return (faults, *job, self.records, self.seconds)


class ListedFaults(Schedule):
    """Makes the listed faults happen, and records what has happened.

    A fault's name is its kind and its occasion, as a number. Random values are drawn as if there were no list, so a
    list of all faults of a seed gives the same run as the seed.
    """

    def __init__(self, case: Case) -> None:
        super().__init__(case.seed)
        if case.salt:
            self.random = Random(f"{case.seed}/{case.salt}")
        self.names: list[str] = []
        self._listed = None if case.faults is None else frozenset(case.faults)
        self._asked: Counter[str] = Counter()

    def chance(self, rate: float, fault: str, *place: object) -> bool:
        """Whether the fault is listed."""
        if rate <= 0:
            return False
        drawn = self.random.random() < rate
        what = " ".join(map(str, (fault, *place)))
        self._asked[what] += 1
        name = f"{what} #{self._asked[what]}"
        happens = drawn if self._listed is None else name in self._listed
        if happens:
            self.happened[fault] += 1
            self.names.append(name)
        return happens


class CaseRun(Simulation):
    """Runs one case."""

    def __init__(self, case: Case, on_note: OnNote | None = None) -> None:
        self.listed = ListedFaults(case)
        self._most_workers = case.workers
        rates = Simulation(case.seed).faults
        super().__init__(case.seed, faults=rates, shape=case.shape, schedule=self.listed, on_note=on_note)
        self.feeder.resize(case.records, case.seconds)

    def worker_count(self) -> int:
        return min(super().worker_count(), self._most_workers)


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The result of shrinking. `original`: the faults of the seed's own run. `runs`: the number of runs."""

    original: Case
    smallest: Case
    message: str
    runs: int


class Shrinker:
    """Makes the failing case of a seed smaller as long as it fails in the same way.

    Args:
        most_runs: the maximum number of runs.
        on_smaller: called with each smaller case.
    """

    def __init__(self, seed: int, most_runs: int, on_smaller: Callable[[Case], None] | None = None) -> None:
        self._most_runs = most_runs
        self._on_smaller = on_smaller
        self._most_steps = STEPS
        self._runs = 0
        self._kind = ""
        self._message = ""
        self._seed = seed

    def shrink(self) -> Shrunk:
        """First a simpler job, whose runs are short; then delta debugging over the faults; until neither helps.

        Raises ValueError if the seed does not fail.
        """
        best = self._fails(Case.of_seed(self._seed))
        if best is None:
            raise ValueError(f"seed {self._seed} does not fail")
        original = best
        while self._runs < self._most_runs:
            before = best
            best = self._fewer_faults(self._simpler(best))
            if best == before:
                break
        return Shrunk(original, best, self._message, self._runs)

    def _fewer_faults(self, best: Case) -> Case:
        """Omit parts: halves first, then smaller parts, down to single faults (ddmin, complements only)."""
        parts = 2
        while faults := best.faults:
            size = -(-len(faults) // parts)
            for start in range(0, len(faults), size):
                # From the end, because everything before an omitted fault stays the same.
                end = len(faults) - start
                rest = faults[: max(0, end - size)] + faults[end:]
                smaller = self._tried(replace(best, faults=rest))
                if smaller is not None:
                    best, parts = smaller, max(parts - 1, 2)
                    break
            else:
                if size == 1:
                    break
                parts = min(parts * 2, len(faults))
        return best

    def _simpler(self, best: Case) -> Case:
        while True:
            for case in simpler(best):
                smaller = self._tried(case)
                if smaller is not None and smaller.size < best.size:
                    best = smaller
                    break
            else:
                return best

    def _tried(self, case: Case) -> Case | None:
        for salt in dict.fromkeys((case.salt, *range(SALTS))):
            found = self._fails(replace(case, salt=salt))
            if found is not None:
                if self._on_smaller is not None:
                    self._on_smaller(found)
                return found
        return None

    def _fails(self, case: Case) -> Case | None:
        """The case with only those of its faults that happened, if it fails like the first one."""
        if self._runs >= self._most_runs:
            return None
        self._runs += 1
        run = CaseRun(case)
        run.most_steps = self._most_steps
        try:
            run.run()
        except SimulationFailed as error:
            if self._kind in ("", kind_of(error)):
                if not self._kind:
                    self._most_steps = min(run.most_steps, 3 * run.schedule.steps + 10_000)
                self._kind, self._message = kind_of(error), str(error)
                return replace(case, faults=tuple(run.listed.names))
        return None


def kind_of(error: SimulationFailed) -> str:
    """The failure, without details that differ from case to case.

    >>> kind_of(SimulationFailed("seed 7: AssertionError: totals: counts of item3: got [1, 1], expected [1]"))
    'AssertionError: *'
    """
    _, _, text = str(error).partition(": ")
    name, _, rest = text.partition(": ")
    rest = rest.partition(":")[0]
    return f"{name}: {re.sub('pass|totals|windows|process|table|[0-9]+', '*', rest)}"


def simpler(case: Case) -> Iterator[Case]:
    """Cases that are simpler in one respect, the largest steps first."""
    shape = case.shape
    for part in (8, 4, 2, 1.3):
        if int(case.records / part) < case.records:
            yield replace(case, records=max(1, int(case.records / part)))
    if case.seconds > 0.5:
        yield replace(case, seconds=case.seconds / 4)
        yield replace(case, seconds=case.seconds / 2)
    if shape.other:
        yield replace(case, shape=replace(shape, other=0, beside=False, lag=0))
    if shape.stragglers:
        yield replace(case, shape=replace(shape, stragglers=False))
    for stages in range(1, shape.stages):
        yield replace(case, shape=_fitting(replace(shape, stages=stages)))
    for branches in _fewer(shape.branches):
        yield replace(case, shape=replace(shape, branches=branches))
    for partitions in range(1, shape.partitions):
        yield replace(case, shape=_fitting(replace(shape, partitions=partitions)))
    for workers in range(1, case.workers):
        yield replace(case, workers=workers)


def _fitting(shape: Shape) -> Shape:
    """The shape with a second topic that fits the other values: one stage needs equal numbers of partitions."""
    other = shape.partitions if shape.other and shape.stages == 1 else shape.other
    return replace(shape, other=other, beside=shape.beside and shape.stages > 2)


def _fewer(branches: Sequence[str]) -> Iterator[tuple[str, ...]]:
    if len(branches) > 1:
        yield from ((branch,) for branch in branches)
    if len(branches) > 2:
        yield from (tuple(other for other in branches if other != branch) for branch in branches)
