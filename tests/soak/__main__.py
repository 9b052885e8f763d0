"""Run a job for minutes or days under load and disturbances: `python -m tests.soak --minutes 60`."""

from __future__ import annotations

import random
import shutil
import signal
import statistics
import sys
import tempfile
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.soak.flatness import Verdict
from tests.soak.processes import JOB_FILE
from tests.soak.soak import Figures, Soak
from tests.soak.wrong import Wrong


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long the job is disturbed.")
@click.option("--calm", default=60.0, show_default=True, help="Seconds before that in which the job is left alone.")
@click.option("--rate", default=300.0, show_default=True, help="Visits per second, about; bursts have ten times that.")
@click.option("--seed", type=int, default=None, help="Replays load and disturbances. Default: a new one, printed.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures and samples there.")
@click.option("--job", "job_file", type=click.Path(path_type=Path), default=JOB_FILE, help="What is run instead.")
@click.option("--folder", type=click.Path(path_type=Path), help="Kept, for logs and state. Default: a temporary one.")
def main(
    minutes: float,
    calm: float,
    rate: float,
    seed: int | None,
    json_file: Path | None,
    job_file: Path,
    folder: Path | None,
) -> None:
    """Kill, stop, freeze and double a job on a real Kafka while its load varies, and compare all it does meanwhile.

    Before that it is left alone, under an even load.

    At the end everything must be exact, and nothing may have grown. Exit code 1 if anything was wrong; the folder with
    logs, state and checkpoints is then kept.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process of it stays behind
    seed = random.randrange(1 << 32) if seed is None else seed
    console = Console()
    place = Path(tempfile.mkdtemp(prefix="rayflow-soak-")) if folder is None else folder.absolute()
    place.mkdir(parents=True, exist_ok=True)
    console.print(f"seed {seed}, {minutes:g} minutes, in {place}")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=calm + minutes * 60)

        def on_look(soak: Soak) -> None:
            progress.update(bar, completed=soak.figures.seconds, description=line(soak.figures))

        soak = Soak(place, seed, rate, calm, minutes * 60, on_look, job_file.absolute())
        wrong: Exception | None = None
        try:
            soak.run()
        except Exception as error:  # noqa: BLE001 - whatever ended it, what was seen until then is told
            wrong = error
    show(console, soak.figures)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.encode(document(soak.figures, seed, minutes, rate, wrong)))
    if wrong is None:
        console.print("exact", style="green")
        if folder is None:
            shutil.rmtree(place)
        return
    kind = "WRONG" if isinstance(wrong, Wrong) else type(wrong).__name__
    console.print(f"{kind}: {wrong}", style="red", markup=False)
    console.print(
        f"again: python -m tests.soak --minutes {minutes:g} --calm {calm:g} --rate {rate:g} --seed {seed}", markup=False
    )
    console.print(f"logs, state and checkpoints: {place} (process-*.err is the job's, in order)", markup=False)
    sys.exit(1)


def line(figures: Figures) -> str:
    """How it goes, in one line."""
    disturbed = sum(figures.disturbances.values())
    return f"{figures.visits:,} visits, {figures.outputs:,} outputs, {disturbed} disturbances"


def show(console: Console, figures: Figures) -> None:
    """The tables at the end."""
    seconds = max(figures.seconds, 1e-9)
    told = Table("soak", "", show_header=False)
    told.add_row("minutes", f"{seconds / 60:.1f}")
    told.add_row(
        "visits in", f"{figures.visits:,} ({figures.visits / seconds:,.0f} a second, peak {figures.peak:,.0f})"
    )
    told.add_row("records out", f"{figures.outputs:,} ({figures.outputs / seconds:,.0f} a second)")
    told.add_row("sessions", f"{figures.sessions:,}")
    for kind, times in figures.disturbances.most_common():
        told.add_row(kind, str(times))
    if figures.recoveries:
        median, worst = statistics.median(figures.recoveries), max(figures.recoveries)
        text = f"p50 {median:.1f} s, worst {worst:.1f} s ({len(figures.recoveries)} measured)"
        told.add_row("from SIGKILL to new output", text)
    console.print(told)
    judged = [verdict for verdict in figures.flatness if verdict.grown is not None]
    if judged:
        flat = Table("does it grow?", "samples", "second third", "last third", "limit", "verdict")
        for verdict in judged:
            flat.add_row(*cells(verdict))
        console.print(flat)
    if len(judged) < len(figures.flatness):
        console.print(f"{len(figures.flatness) - len(judged)} figures have too few samples to tell whether they grow")


def cells(verdict: Verdict) -> tuple[str, ...]:
    """One row of the table."""
    values = (f"{value or 0:,.0f}" for value in (verdict.second, verdict.last, verdict.limit))
    return verdict.name, str(verdict.samples), *values, "GROWS" if verdict.grown else "flat"


def document(figures: Figures, seed: int, minutes: float, rate: float, wrong: Exception | None) -> dict[str, object]:
    """Everything, for machines."""
    told = None if wrong is None else {"kind": type(wrong).__name__, "what": str(wrong)}
    return {"seed": seed, "minutes": minutes, "rate": rate, "wrong": told, "figures": figures}


if __name__ == "__main__":
    main()
