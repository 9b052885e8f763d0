"""Change rayflow's source in one place at a time and see whether a test notices: `python -m tests.mutation --help`."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from tests.mutation.equivalent import equivalents
from tests.mutation.mutants import PACKAGES, chosen, every_mutant
from tests.mutation.report import Report, described, gone
from tests.mutation.several import tried
from tests.mutation.trial import FailsAnyway

ROOT = Path(__file__).parents[2]


@click.command()
@click.option("--mutants", "count", default=100, show_default=True, help="How many.")
@click.option("--seed", type=int, default=None, help="Draws the same ones again. Default: a new one, printed.")
@click.option("--package", "packages", multiple=True, type=click.Choice(PACKAGES), help="Only of these; or all.")
@click.option("--only", "places", multiple=True, metavar="FILE:LINE", help="Every mutant of a line, instead.")
@click.option("--jobs", default=2, show_default=True, help="How many are tried at a time.")
@click.option("--list", "listing", is_flag=True, help="Show the mutants, and try none.")
def main(
    count: int, seed: int | None, packages: tuple[str, ...], places: tuple[str, ...], jobs: int, listing: bool
) -> None:
    """Try random mutants of rayflow's source, each in a copy of the tree, until a test fails.

    Survivors are shown as diffs. Exit code 1 when fewer than 95 % of those that change behaviour are killed; 2 when
    the tests fail without any mutant.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes and folders of it are removed
    console = Console(soft_wrap=True, highlight=False, markup=False)
    seed = random.randrange(1 << 32) if seed is None else seed
    everything = every_mutant(ROOT, packages or PACKAGES)
    if places:
        mutants = [mutant for mutant in everything if mutant.place.removeprefix("rayflow/") in _short(places)]
        if not mutants:
            raise click.UsageError(f"no mutant at {', '.join(places)}")
    else:
        mutants = chosen(everything, count, seed)
        console.print(f"seed {seed}: {len(mutants)} of {len(everything):,} mutants")
    if listing:
        for mutant in mutants:
            console.print("\n".join(described(mutant)))
        return
    listed = equivalents()
    report = Report(listed)
    began = time.monotonic()
    try:
        for outcome in tried(mutants, jobs, ROOT):
            report.outcomes.append(outcome)
            console.print(report.line(outcome, len(mutants), (time.monotonic() - began) / 60))
    except FailsAnyway as error:
        console.print(str(error))
        sys.exit(2)
    for line in report.told():
        console.print(line)
    if not packages:
        for one in gone(listed, everything):
            console.print(f"listed as equivalent, but no mutant any more: {one.file}: {one.line}")
    console.print(report.table())
    sys.exit(0 if report.enough else 1)


def _short(places: Sequence[str]) -> set[str]:
    return {place.removeprefix("rayflow/") for place in places}


if __name__ == "__main__":
    main()
