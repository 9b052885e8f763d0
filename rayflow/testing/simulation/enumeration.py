"""Enumerates crash points of small jobs: each step of each process, and each step of the recovery from each of
those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rayflow.testing.simulation.crashes import HOWS, Crash, CrashRun, How, Target
from rayflow.testing.simulation.simulation import SimulationFailed

PAIRS: tuple[tuple[How, How], ...] = (("crash", "crash"), ("disk", "crash"), ("suspend", "thaw"))
"""The first fault, and the second one, during the recovery from the first."""


@dataclass(frozen=True, slots=True)
class CrashFailed:
    """Crashes after which a condition did not hold."""

    target: str
    crashes: tuple[Crash, ...]
    message: str

    @property
    def replay(self) -> str:
        """The argument for `--crash`."""
        return f"{self.target}:{','.join(map(str, self.crashes))}"


@dataclass(slots=True)
class Tried:
    """The results of some crash points."""

    points: int = 0
    failures: list[CrashFailed] = field(default_factory=list)


def singles(target: Target, hows: Sequence[How] = HOWS) -> list[Crash]:
    """Every kind of fault before every step of every process of a run without other faults."""
    run = CrashRun(target)
    run.run()
    return [Crash(process, index, how) for how in hows for process, index, _ in run.steps[0].taken]


def try_single(target: Target, crash: Crash) -> Tried:
    """One run with one crash."""
    tried = Tried()
    _try(target, (crash,), tried)
    return tried


def try_pairs(target: Target, first: Crash, second: How) -> Tried:
    """`first`, and then `second` before every step of the recovery, until the new attempt has committed an epoch.

    None, if the run fails after `first` alone.
    """
    tried = Tried()
    recovery = CrashRun(target, (first,))
    try:
        recovery.run()
    except SimulationFailed:
        return tried
    for process, index, _ in recovery.steps[1].taken:
        _try(target, (first, Crash(process, index, second)), tried)
    return tried


def total(every: Iterable[Tried]) -> Tried:
    """The combined results."""
    found = Tried()
    for tried in every:
        found.points += tried.points
        found.failures += tried.failures
    return found


def parse_crashes(text: str, targets: Iterable[str]) -> tuple[str, tuple[Crash, ...]]:
    """Parse the name of a target and its crashes: `TARGET:PROCESS:INDEX[:HOW][,PROCESS:INDEX[:HOW]]`. Raises
    ValueError.

    >>> parse_crashes("small:worker-0:3,coordinator:5", ["small"])[0]
    'small'
    """
    name, _, crashes = text.partition(":")
    if name not in targets:
        raise ValueError(f"{name!r} is none of {', '.join(targets)}")
    return name, tuple(map(Crash.parse, crashes.split(",")))


def _try(target: Target, crashes: tuple[Crash, ...], tried: Tried) -> None:
    tried.points += 1
    try:
        CrashRun(target, crashes).run()
    except SimulationFailed as error:
        tried.failures.append(CrashFailed(target.name, crashes, str(error)))
