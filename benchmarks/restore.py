"""`python -m benchmarks.restore`: how long a job with a large state takes to its first record, with its local state and
from the checkpoint store alone; beside copying the same bytes and building the LMDB files by hand."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from pathlib import Path
from statistics import median

import click
import lmdb

from benchmarks.broker import broker_option, workshop
from benchmarks.figures import Figure, json_option, show
from benchmarks.newest import Newest
from rayflow.state.lmdb_store import LmdbStore

FEW = 64
"""Records that wait for the job: enough for every partition."""


@click.command()
@click.option("--keys", default=1_000_000, show_default=True, help="Keys of the state.")
@click.option("--size", default=100, show_default=True, help="Bytes of a value.")
@click.option("--rounds", default=3, show_default=True)
@broker_option
@json_option("restore")
def main(keys: int, size: int, rounds: int, broker: str | None, json_file: Path) -> None:
    """Measure restores, in turn with the work by hand."""
    local: list[float] = []
    remote: list[float] = []
    by_hand: list[float] = []
    with workshop(broker) as (topics, folder), closing(Newest(topics, folder, size)) as job:
        job.append(range(keys))
        job.run()
        for number in range(rounds):
            local.append(first_record(job))
            by_hand.append(build_by_hand(job, folder / f"by-hand-{number}"))
            shutil.rmtree(job.tasks)
            remote.append(first_record(job))
        job.check()
        stored = sum(file.stat().st_size for file in job.checkpoints.rglob("*") if file.is_file())
    restoring = [there - here for there, here in zip(remote, local, strict=True)]
    over = median(one / other for one, other in zip(restoring, by_hand, strict=True))
    figures = [
        Figure("start to first record, local state", median(local), "s", 1.0),
        Figure("start to first record, from the checkpoint store", median(remote), "s"),
        Figure("checkpoint store", stored / 1e6, "MB"),
        Figure("by hand: copy the store, build the LMDB files", median(by_hand), "s"),
        Figure("restoring (the difference of the first two) over by hand", over, "x", 2.0),
    ]
    show(
        f"restore of {keys:,} keys of {size} bytes", figures, json_file, {"keys": keys, "size": size, "rounds": rounds}
    )


def first_record(job: Newest) -> float:
    """Seconds from the start of the process to its first record."""
    job.append(range(FEW))
    os.sync()  # what was written before is not to be waited for in here
    began = time.time()
    return job.run()[1].first - began


def build_by_hand(job: Newest, folder: Path) -> float:
    """Seconds to copy the checkpoint store and to write all rows into LMDB, sorted, a transaction each task."""
    tasks = sorted(job.tasks.iterdir())
    rows = []
    for task in tasks:
        store = LmdbStore(task)
        rows.append([pair for keys, values in store.rows() for pair in zip(keys, values, strict=True)])
        store.close()
    folder.mkdir()
    os.sync()
    began = time.monotonic()
    shutil.copytree(job.checkpoints, folder / "checkpoints")
    for task, pairs in zip(tasks, rows, strict=True):
        with (
            lmdb.open(str(folder / task.name), map_size=4 << 30, sync=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            transaction.cursor().putmulti(pairs, append=True)
    spent = time.monotonic() - began
    shutil.rmtree(folder)
    return spent


if __name__ == "__main__":
    main()
