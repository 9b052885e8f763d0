"""Simulate many seeds, or replay one: `python -m rayflow.testing.simulate --seeds 1000`."""

from __future__ import annotations

import sys
import time
from collections import Counter

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rayflow.testing.simulation.simulation import Report, Simulation, SimulationFailed


@click.command()
@click.option("--seeds", default=1000, show_default=True, help="How many seeds.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--replay", type=int, default=None, help="Run this one seed only.")
@click.option("--trace", is_flag=True, help="With --replay: print every step.")
def main(seeds: int, first: int, replay: int | None, trace: bool) -> None:
    """Run whole jobs in a model world that breaks. Exit code 1 if one was not exact; its seed replays it."""
    if trace and replay is None:
        raise click.UsageError("--trace goes with --replay")
    failed = _many(first, seeds) if replay is None else _one(replay, trace)
    sys.exit(1 if failed else 0)


def _one(seed: int, trace: bool) -> bool:
    simulation = Simulation(seed, on_note=_print if trace else None)
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


def _many(first: int, seeds: int) -> bool:
    console = Console()
    reports: list[Report] = []
    failures: list[SimulationFailed] = []
    began = time.monotonic()
    columns = (TextColumn("simulating"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("seeds", total=seeds)
        for seed in range(first, first + seeds):
            try:
                reports.append(Simulation(seed).run())
            except SimulationFailed as error:
                failures.append(error)
                console.print(str(error), markup=False)
            progress.advance(bar)
    minutes = (time.monotonic() - began) / 60
    console.print(f"{_summary(reports)}; {seeds / minutes:.0f} seeds a minute")
    crashes = sum((Counter(report.crashes) for report in reports), Counter[str]())
    console.print("crashes: " + ", ".join(f"{step} {count}" for step, count in crashes.most_common(20)))
    if failures:
        console.print(f"{len(failures)} of {seeds} seeds failed")
    return bool(failures)


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
