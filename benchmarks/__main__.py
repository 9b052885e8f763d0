"""`python -m benchmarks`: what a record costs in rayflow, in a loop written by hand, and in other engines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.answers import Answers, records
from benchmarks.broker import broker_option, workshop
from benchmarks.campaign import STEADY, TINY, Campaign, Input, NoResult, Run
from benchmarks.chart import svg
from benchmarks.contenders import OWN, Contender, NotInstalled, on_ray
from benchmarks.figures import RESULTS
from benchmarks.orders import Topics
from benchmarks.peers import PEERS
from benchmarks.ray_report import ray_summary, ray_table
from benchmarks.report import summary, table, write_json
from benchmarks.workloads import BY_HAND, RAYFLOW, WORKLOADS


def peer_names(_context: click.Context, _option: click.Parameter, value: str) -> tuple[str, ...]:
    """`all`, or names with commas between them."""
    names = tuple(PEERS) if value == "all" else tuple(filter(None, value.split(",")))
    for name in names:
        if name not in PEERS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(PEERS)}, all")
    return names


def worker_counts(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    if not all(part.isdigit() and int(part) for part in value.split(",")):
        raise click.BadParameter(f"{value!r} is not like 1,2")
    return tuple(map(int, value.split(",")))


@click.command()
@click.argument("workloads", nargs=-1, type=click.Choice(list(WORKLOADS)))
@click.option("--peers", callback=peer_names, default="", metavar="all|NAME,...", help=f"Also run {', '.join(PEERS)}.")
@click.option("--only", type=click.Choice([BY_HAND, RAYFLOW, *PEERS]), help="Run one contender alone.")
@click.option("--runtime", type=click.Choice(["local", "ray"]), default="local", help="ray: beside one process.")
@click.option("--workers", callback=worker_counts, default="2", metavar="N,...", help="With ray: how many, in turn.")
@click.option("--records", default=1_000_000, show_default=True, help="Records of the input.")
@click.option("--rounds", default=3, show_default=True, help="How often each contender runs each workload.")
@click.option("--steady", is_flag=True, help=f"The cost from --records to {STEADY} times as many: no warming up in it.")
@broker_option
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Where figures go.")
@click.option("--chart", type=click.Path(path_type=Path), help="Where the picture goes.")
def main(
    workloads: tuple[str, ...],
    peers: tuple[str, ...],
    only: str | None,
    runtime: str,
    workers: tuple[int, ...],
    records: int,
    rounds: int,
    steady: bool,
    broker: str | None,
    json_file: Path | None,
    chart: Path | None,
) -> None:
    """Measure WORKLOADS (default: all), exactly once where the contender can, one checkpoint a second.

    Figures go to benchmarks/results, or where --json and --chart say. Peers are installed into a cache folder
    (~/.cache/rayflow-benchmarks, or RAYFLOW_BENCHMARKS_CACHE), never into this environment.
    """
    console = Console() if sys.stdout.isatty() else Console(width=150)
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    contenders: list[Contender] = []
    for contender in taking_part(runtime, workers, peers, only):
        try:
            versions[contender.name] = f"{contender.prepare()} ({contender.delivery})"
            contenders.append(contender)
        except NotInstalled as error:
            versions[contender.name] = missing[contender.name] = f"cannot be installed: {error}"
        console.print(f"{contender.name:<14} {versions[contender.name]}", highlight=False)
    with workshop(broker) as (topics, folder):
        results = run_all(workloads or tuple(WORKLOADS), records, rounds, steady, topics, contenders, folder, console)
    leaves_out = f"steady: from {records:,} to {records * STEADY:,} records" if steady else "start-up taken out"
    title = f"CPU per record, {leaves_out}: median (least) of {rounds} round{'s' if rounds > 1 else ''}"
    about = {"versions": versions, "missing": missing, "records": records, "rounds": rounds, "steady": steady}
    if runtime == "ray":
        console.print(ray_table(results, title))
        json_file = json_file or RESULTS / "ray.json"
        write_json(ray_summary(results, about), json_file)
        console.print(f"written: {json_file}", highlight=False)
    else:
        console.print(table(results, title))
        name = "steady" if steady else "workloads"
        json_file, chart = json_file or RESULTS / f"{name}.json", chart or RESULTS / f"{name}.svg"
        write_json(summary(results, about), json_file)
        chart.parent.mkdir(parents=True, exist_ok=True)
        runs = [run for run in results if isinstance(run, Run)]
        chart.write_text(svg(runs, f"CPU microseconds per record ({leaves_out}); shorter is better"))
        console.print(f"written: {json_file}, {chart}", highlight=False)
    failed = [none for none in results if isinstance(none, NoResult) and none.contender not in PEERS]
    if failed or missing:
        raise click.ClickException("not everything has a result")


def taking_part(runtime: str, workers: Sequence[int], peers: Sequence[str], only: str | None) -> list[Contender]:
    """The contenders that were asked for, in the order in which they take turns."""
    if runtime == "ray":
        if peers or only:
            raise click.UsageError("--runtime ray compares rayflow with itself: without --peers and --only")
        return [own for own in OWN if own.name == RAYFLOW] + [on_ray(count) for count in workers]
    everyone = [*OWN, *PEERS.values()]
    return [each for each in everyone if (each.name == only if only else each in OWN or each.name in peers)]


def run_all(
    names: Sequence[str],
    count: int,
    rounds: int,
    steady: bool,
    topics: Topics,
    contenders: Sequence[Contender],
    folder: Path,
    console: Console,
) -> list[Run | NoResult]:
    """Fill the topics, then run every workload; each run is shown when it ends."""
    results: list[Run | NoResult] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        short = filled(topics, count if steady else TINY, progress)
        long = filled(topics, count * STEADY if steady else count, progress)
        campaign = Campaign(topics, short, long, folder, steady=steady)
        task = progress.add_task("", total=len(names) * rounds * len(contenders))
        for name in names:
            progress.update(task, description=name)
            for result in campaign.runs(WORKLOADS[name], rounds, contenders):
                results.append(result)
                progress.console.print(line(result), highlight=False)
                progress.update(task, advance=1)
    return results


def filled(topics: Topics, count: int, progress: Progress) -> Input:
    """A topic with that many orders, and what becomes of them; shown as it goes."""
    topic = f"bench-orders-{count}"
    task = progress.add_task(f"filling {topic}", total=count)
    topics.fill(topic, count, lambda done: progress.update(task, completed=done))
    progress.update(task, description=f"reading {topic} for the known answers")
    answers = Answers(records(topics.read(topic)))
    progress.remove_task(task)
    return Input(topic, count, answers)


def line(result: Run | NoResult) -> str:
    """One result, for people."""
    if isinstance(result, NoResult):
        return f"{result.workload:<14} {result.contender:<14} no result: {result.why.strip().splitlines()[-1]}"
    return (
        f"{result.workload:<14} {result.contender:<14} round {result.round}: {result.microseconds:6.2f} us/record, "
        f"{result.rate:>9,.0f} records/s, {result.long.memory / 1e6:4.0f} MB, {result.outputs:,} outputs, correct"
    )


if __name__ == "__main__":
    main()
