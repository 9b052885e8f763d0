"""Simulate many seeds, every crash point of small jobs, or one case: `python -m rayflow.testing.simulate --help`."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rayflow.testing.simulation.crashes import TARGETS, Crash, CrashRun, Target
from rayflow.testing.simulation.enumeration import (
    PAIRS,
    CrashFailed,
    Tried,
    parse_crashes,
    singles,
    try_pairs,
    try_single,
)
from rayflow.testing.simulation.parallel import in_order
from rayflow.testing.simulation.shrinking import Case, CaseRun, Shrinker
from rayflow.testing.simulation.simulation import Simulation, SimulationFailed
from rayflow.testing.simulation.world import Report

SHOWN = 20
"""Maximum number of failed crash points that are printed for each job."""
MOST_RUNS = 600
"""Maximum number of runs for shrinking."""


@click.command()
@click.option("--seeds", default=1000, show_default=True, help="How many seeds.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default="cores", help="How many processes.")
@click.option("--replay", type=int, default=None, help="Run this one seed only.")
@click.option("--shrink", is_flag=True, help="With --replay: find the smallest case that fails as the seed does.")
@click.option("--case", default=None, help="Run a case that --shrink has printed.")
@click.option("--enumerate", "enumerated", is_flag=True, help="Crash small jobs at every step of every process.")
@click.option("--pairs", is_flag=True, help="With --enumerate: and again at every step of the recovery from each.")
@click.option("--target", "targets", multiple=True, type=click.Choice(list(TARGETS)), help="Of --enumerate; or all.")
@click.option("--crash", default=None, metavar="JOB:PROCESS:INDEX[:HOW][,...]", help="Run one crash of --enumerate.")
@click.option("--trace", is_flag=True, help="With --replay, --case, --crash: print every step.")
def main(
    seeds: int,
    first: int,
    jobs: int,
    replay: int | None,
    shrink: bool,
    case: str | None,
    enumerated: bool,
    pairs: bool,
    targets: tuple[str, ...],
    crash: str | None,
    trace: bool,
) -> None:
    """Run whole jobs in a model world that breaks. Exit code 1 if one was not exact; what is printed replays it."""
    if trace and shrink:
        raise click.UsageError("--trace goes with the --case that --shrink prints")
    if trace and replay is None and case is None and crash is None:
        raise click.UsageError("--trace goes with --replay, --case or --crash")
    if shrink and replay is None:
        raise click.UsageError("--shrink goes with --replay")
    if (pairs or targets) and not enumerated:
        raise click.UsageError("--pairs and --target go with --enumerate")
    on_note = _print if trace else None
    try:
        if enumerated:
            failed = _enumerate([TARGETS[name] for name in targets or TARGETS], pairs, jobs)
        elif crash is not None:
            target, crashes = parse_crashes(crash, TARGETS)
            failed = _one(CrashRun(TARGETS[target], crashes, on_note))
        elif case is not None:
            failed = _one(CaseRun(Case.parse(case), on_note))
        elif replay is not None:
            failed = _shrink(replay) if shrink else _one(Simulation(replay, on_note=on_note))
        else:
            failed = _many(first, seeds, jobs)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    sys.exit(1 if failed else 0)


def _one(simulation: Simulation) -> bool:
    print(simulation.shape)
    print(simulation.faults)
    try:
        report = simulation.run()
    except SimulationFailed as error:
        print(error)
        return True
    print(_summary([report]))
    return False


def _print(at: float, who: str, what: str) -> None:
    print(f"{at:12.6f}  {who:14}  {what}")


def _many(first: int, seeds: int, jobs: int) -> bool:
    console = Console(soft_wrap=True)
    reports: list[Report] = []
    failures = 0
    began = time.monotonic()
    with _progress(console, "simulating", seeds) as advance:
        for outcome in in_order(run_seed, range(first, first + seeds), jobs):
            if isinstance(outcome, Report):
                reports.append(outcome)
            else:
                failures += 1
                console.print(outcome, markup=False)
            advance()
    minutes = (time.monotonic() - began) / 60
    console.print(f"{_summary(reports)}; {seeds / minutes:.0f} seeds a minute")
    crashes = sum((Counter(report.crashes) for report in reports), Counter[str]())
    console.print("crashes: " + ", ".join(f"{step} {count}" for step, count in crashes.most_common(20)))
    if failures:
        console.print(f"{failures} of {seeds} seeds failed")
    return bool(failures)


def run_seed(seed: int) -> Report | str:
    """The outcome of a seed; the message if it failed."""
    try:
        return Simulation(seed).run()
    except SimulationFailed as error:
        return str(error)


def _enumerate(targets: list[Target], pairs: bool, jobs: int) -> bool:
    console = Console(soft_wrap=True)
    failed = False
    for target in targets:
        began = time.monotonic()
        crashes = singles(target)
        found = _try_all(console, target, "crash points", partial(try_single, target), crashes, jobs)
        for first, second in PAIRS if pairs else ():
            starts = [crash for crash in crashes if crash.how == first]
            call = partial(try_pairs, target, second=second)
            found += _try_all(console, target, f"{first} then {second}", call, starts, jobs)
        console.print(f"{target.name}: {time.monotonic() - began:.0f} s")
        for failure in found[:SHOWN]:
            console.print(f"{failure.message}\n  --crash {failure.replay} --trace", markup=False)
        failed = failed or bool(found)
    return failed


def _try_all(
    console: Console, target: Target, what: str, call: Callable[[Crash], Tried], crashes: list[Crash], jobs: int
) -> list[CrashFailed]:
    points = 0
    failures: list[CrashFailed] = []
    with _progress(console, f"{target.name}: {what}", len(crashes)) as advance:
        for tried in in_order(call, crashes, jobs):
            points += tried.points
            failures += tried.failures
            advance()
    console.print(f"{target.name}: {points} runs ({what}), {len(failures)} failed")
    return failures


def _shrink(seed: int) -> bool:
    console = Console(soft_wrap=True)
    shrunk = Shrinker(seed, MOST_RUNS, on_smaller=lambda case: console.print(_size(case))).shrink()
    console.print(f"from {_size(shrunk.original)}\nto   {_size(shrunk.smallest)}\nin {shrunk.runs} runs")
    console.print(str(shrunk.smallest.shape), markup=False)
    for fault in shrunk.smallest.faults or ():
        console.print(f"  {fault}", markup=False)
    console.print(shrunk.message, markup=False)
    console.print(f"--trace --case '{shrunk.smallest.text()}'", markup=False)
    return True


def _size(case: Case) -> str:
    shape = case.shape
    return (
        f"{len(case.faults or ())} faults, {len(shape.branches)} sinks, {shape.stages} stages, "
        f"{shape.partitions} partitions, {case.workers} workers, {case.records} records in {case.seconds:g} s"
    )


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn(what), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(what, total=total)
        yield partial(progress.advance, bar)


def _summary(reports: list[Report]) -> str:
    attempts = sum(report.attempts for report in reports)
    epochs = sum(report.epochs for report in reports)
    records = sum(report.records for report in reports)
    virtual = sum(report.seconds for report in reports)
    return (
        f"{len(reports)} exact: {records} records, {epochs} epochs, {attempts} attempts, {virtual:.0f} virtual seconds"
    )


if __name__ == "__main__":
    main()
