"""`python -m benchmarks`: what a record costs in rayflow, and in a loop written by hand."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.answers import Answers, WrongResult
from benchmarks.answers import records as records_of
from benchmarks.campaign import TINY, Campaign, Run
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import RunFailed
from benchmarks.orders import Topics
from benchmarks.report import table, write_json
from benchmarks.workloads import WORKLOADS


@contextmanager
def broker_at(given: str | None, folder: Path) -> Iterator[str]:
    """The bootstrap address of the given broker, or of one that is started and ended."""
    if given is not None:
        yield given
        return
    from tests.kafka.broker import Broker

    broker = Broker(folder / "kafka")
    try:
        yield broker.start().bootstrap
    finally:
        broker.close()


def filled(topics: Topics, topic: str, count: int, progress: Progress) -> None:
    """Fill a topic, shown as it goes."""
    task = progress.add_task(f"filling {topic}", total=count)
    topics.fill(topic, count, lambda done: progress.update(task, completed=done))
    progress.remove_task(task)


def line(run: Run) -> str:
    """One run, for people."""
    return (
        f"{run.workload:<12} {run.contender:<8} round {run.round}: {run.microseconds:6.2f} us/record, "
        f"{run.records / max(run.used.wall, 1e-9):>9,.0f} records/s, {run.used.memory / 1e6:4.0f} MB, "
        f"{run.outputs:,} outputs, correct"
    )


@click.command()
@click.argument("workloads", nargs=-1, type=click.Choice(list(WORKLOADS)))
@click.option("--records", default=1_000_000, show_default=True, help="Records of the input.")
@click.option("--rounds", default=3, show_default=True, help="How often each contender runs each workload.")
@click.option("--broker", metavar="HOST:PORT", help="A broker that runs.  [default: one is started and ended]")
@click.option("--only", type=click.Choice(list(CONTENDERS)), help="Run one contender alone.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
def main(
    workloads: tuple[str, ...],
    records: int,
    rounds: int,
    broker: str | None,
    only: str | None,
    json_file: Path | None,
) -> None:
    """Measure WORKLOADS (default: all), exactly once, one checkpoint a second, against the loop written by hand."""
    console = Console() if sys.stdout.isatty() else Console(width=140)
    folder = Path(tempfile.mkdtemp(prefix="rayflow-bench-"))
    try:
        with broker_at(broker, folder) as address:
            runs = run_all(workloads or tuple(WORKLOADS), records, rounds, address, only, folder, console)
    except (WrongResult, RunFailed) as error:
        raise click.ClickException(f"{error}\nlogs are in {folder}") from error
    except KafkaException as error:
        raise click.ClickException(f"the broker: {error.args[0].str()}") from error
    shutil.rmtree(folder, ignore_errors=True)
    console.print(table(runs))
    if json_file is not None:
        write_json(runs, json_file)


def run_all(
    names: tuple[str, ...], count: int, rounds: int, address: str, only: str | None, folder: Path, console: Console
) -> list[Run]:
    """Fill the topics, then run every workload; each run is shown when it ends."""
    topics = Topics(address)
    source, tiny = f"bench-orders-{count}", f"bench-orders-{TINY}"
    contenders = list(CONTENDERS) if only is None else [only]
    runs: list[Run] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        filled(topics, tiny, TINY, progress)
        filled(topics, source, count, progress)
        task = progress.add_task("reading the input for the known answers", total=len(names) * rounds * len(contenders))
        answers = Answers(records_of(topics.read(source)))
        campaign = Campaign(topics, source, tiny, count, answers, folder)
        for name in names:
            progress.update(task, description=f"{name}: start-up")
            for run in campaign.runs(WORKLOADS[name], rounds, contenders):
                runs.append(run)
                progress.console.print(line(run), highlight=False)
                progress.update(task, advance=1, description=name)
    return runs


if __name__ == "__main__":
    main()
