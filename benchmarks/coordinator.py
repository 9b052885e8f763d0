"""`python -m benchmarks.coordinator`: the coordinator of up to 1,000 workers and 10,000 tasks, in one process.

The coordinator, its manifests, placement and retention are the real ones; workers only answer it, and the checkpoint
store is a dict. The job has two stages with an exchange between them, a keyed count as state, and a sink: half of its
tasks hold state, which changes in every epoch. Then one real worker, with the channels of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

from benchmarks.counted_store import CountedStore
from benchmarks.figures import Figure, json_option
from benchmarks.hollow import HollowCluster, Traffic, run_before
from benchmarks.one_worker import OneWorker
from benchmarks.report import machine, write_json
from rayflow.checkpoint.layout import manifest_name
from rayflow.core.ids import TaskId, WorkerId
from rayflow.engine.history import MAX_CHAIN


class Size(NamedTuple):
    """How large a job is."""

    workers: int
    tasks: int


SIZES = (Size(10, 100), Size(100, 1_000), Size(300, 3_000), Size(1_000, 10_000))
EPOCH = 1.0
"""Seconds of CPU that the coordinator may take for one epoch, however large the job."""


@click.command()
@click.option("--workers", default=SIZES[-1].workers, show_default=True, help="Leave out jobs of more workers.")
@click.option("--epochs", default=5, show_default=True, help="Epochs that are measured; their median is shown.")
@click.option("--chain", default=MAX_CHAIN, show_default=True, help="Epochs of deltas in the checkpoint gone on from.")
@json_option("coordinator")
def main(workers: int, epochs: int, chain: int, json_file: Path) -> None:
    """Measure what an epoch, a recovery and a rescale cost the coordinator, and what channels cost a worker."""
    found = {size: measure(size, epochs, chain) for size in SIZES if size.workers <= workers}
    if not found:
        raise click.BadParameter(f"the smallest job has {SIZES[0].workers} workers", param_hint="--workers")
    Console(width=130).print(table(found))
    jobs = [{**size._asdict(), "figures": [asdict(figure) for figure in figures]} for size, figures in found.items()]
    write_json({**machine(), "epochs": epochs, "chain": chain, "jobs": jobs}, json_file)
    click.echo(f"written: {json_file}")


def measure(size: Size, epochs: int, chain: int) -> list[Figure]:
    """The figures of one job."""
    click.echo(f"{size.workers:,} workers, {size.tasks:,} tasks", err=True)
    cluster = HollowCluster(size.tasks // 2, CountedStore())
    run_before(cluster, size.workers, chain)
    figures = [*first(cluster, size), *epoch(cluster, size, epochs), *recovery(cluster, size)]
    for name, more in (("a tenth fewer", -size.workers // 10), ("a tenth more again", 0)):
        figures += rescale(cluster, name, size.workers + more)
    return [*figures, *channels(cluster, size)]


def first(cluster: HollowCluster, size: Size) -> list[Figure]:
    """The job's start from its checkpoint: every task is placed."""
    forget(cluster)
    cluster.begin(size.workers)
    return taken("start", cluster)


def epoch(cluster: HollowCluster, size: Size, epochs: int) -> list[Figure]:
    """An epoch of a job that has run for long."""
    spent, traffics, requests, bases = [], [], [], cluster.bases_written
    for _ in range(epochs):
        forget(cluster)
        cluster.epoch()
        spent.append(cluster.cpu)
        traffics.append(cluster.traffic)
        requests.append(cluster.store.requests.total())
    manifest = cluster.manifests[-1]
    last = traffics[-1]
    return [
        Figure("epoch: CPU", median(spent), "s", EPOCH),
        Figure("epoch: pickling its messages", median(traffic.pickling for traffic in traffics), "s"),
        Figure("epoch: messages sent", last.sent.total(), "", 2 * size.workers + math.ceil(size.tasks / MAX_CHAIN)),
        Figure("epoch: messages received", last.received.total(), ""),
        Figure("epoch: bytes sent", last.bytes_sent / 1e6, "MB"),
        Figure("epoch: bytes acknowledged", last.bytes_received / 1e6, "MB"),
        Figure("epoch: manifest", cluster.store.bytes_of(manifest_name(manifest.epoch)) / 1e6, "MB"),
        Figure("epoch: segments that it names", sum(map(len, manifest.segments.values())), ""),
        Figure("epoch: bases begun", (cluster.bases_written - bases) / epochs, ""),
        Figure("epoch: requests to the store, workers' too", median(requests), ""),
    ]


def recovery(cluster: HollowCluster, size: Size) -> list[Figure]:
    """A worker dies between a commit and its publishing; its slot gets another process."""
    cluster.epoch(lost=0)
    return begun_again("a worker lost", cluster, size.workers)


def rescale(cluster: HollowCluster, name: str, workers: int) -> list[Figure]:
    """The next attempt with another number of workers."""
    before = cluster.placement
    figures = begun_again(name, cluster, workers)
    moved = sum(before[task] != slot for task, slot in cluster.placement.items())
    return [*figures, Figure(f"{name}: tasks moved", moved, "", least_moved(before, range(workers)))]


def begun_again(name: str, cluster: HollowCluster, workers: int) -> list[Figure]:
    """The figures of a new attempt after the one that runs."""
    cluster.end()
    forget(cluster)
    cluster.begin(workers)
    return taken(name, cluster)


def taken(name: str, cluster: HollowCluster) -> list[Figure]:
    """What an attempt has taken to begin."""
    traffic = cluster.traffic
    return [
        Figure(f"{name}: CPU", cluster.cpu, "s"),
        Figure(f"{name}: pickling its messages", traffic.pickling, "s"),
        Figure(f"{name}: messages", traffic.sent.total() + traffic.received.total(), ""),
        Figure(f"{name}: bytes sent", traffic.bytes_sent / 1e6, "MB"),
        Figure(f"{name}: requests to the store", cluster.store.requests.total(), ""),
    ]


def least_moved(before: Mapping[TaskId, WorkerId], workers: Sequence[WorkerId]) -> int:
    """How many tasks have to move, at least, for every stage to be even over `workers`."""
    moved = 0
    for stage in {task.stage for task in before}:
        slots = [slot for task, slot in before.items() if task.stage == stage]
        share, larger = divmod(len(slots), len(workers))
        held = sorted((slots.count(worker) for worker in set(slots) & set(workers)), reverse=True)
        stay = sum(min(count, share + (number < larger)) for number, count in enumerate(held))
        moved += len(slots) - stay
    return moved


def channels(cluster: HollowCluster, size: Size) -> list[Figure]:
    """One worker of the job: an epoch's barriers, and event time advancing at every task."""
    worker = OneWorker(cluster.plan, cluster.topology(), size.workers)
    worker.watermark(0)
    worker.cpu = 0.0
    worker.watermark(size.tasks)
    round_of_watermarks, worker.cpu = worker.cpu, 0.0
    worker.barrier()
    return [
        Figure("one worker: channels to its tasks", worker.channels, ""),
        Figure("one worker: frames of an epoch's barriers", worker.frames, "", size.workers - 1),
        Figure("one worker: barriers in them", worker.events, ""),
        Figure("one worker: bytes of them", worker.bytes / 1e6, "MB"),
        Figure("one worker: CPU of an epoch's barriers", worker.cpu, "s"),
        Figure("one worker: CPU of a watermark from every task", round_of_watermarks, "s"),
    ]


def forget(cluster: HollowCluster) -> None:
    """Count from nothing."""
    cluster.cpu, cluster.traffic = 0.0, Traffic()
    cluster.store.requests.clear()


def table(found: Mapping[Size, Sequence[Figure]]) -> Table:
    """A row for each figure, a column for each size; the target is that of the largest."""
    shown = Table(title="the coordinator of many workers", title_justify="left")
    shown.add_column("workers / tasks")
    for size in found:
        shown.add_column(f"{size.workers:,} / {size.tasks:,}", justify="right")
    shown.add_column("target", justify="right")
    for row in zip(*found.values(), strict=True):
        last = row[-1]
        met = all(figure.at_most is None or figure.value <= figure.at_most for figure in row)
        target = "" if last.at_most is None else f"<= {last.at_most:,.4g} {last.unit}"
        values = (f"{_text(figure.value)} {figure.unit}" for figure in row)
        shown.add_row(last.name, *values, target, style=None if met else "red")
    return shown


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


if __name__ == "__main__":
    main()
