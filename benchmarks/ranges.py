"""`python -m benchmarks.ranges`: what ranges of state cost among 50,000 rows: in the open epoch, below it, dropped.

Thread time, the lowest of some rounds, us.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.figures import Figure, json_option, show
from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.lmdb_store import LmdbStore
from rayflow.state.ordered_table import OrderedTable
from rayflow.state.task_state import TaskState

ROWS, KEYS, BATCH = 50_000, 1_000, 1_000
OPEN = "open epoch"
USERS = [f"u{number}" for number in range(KEYS)]


def lowest(work: Callable[[], object], times: int, rounds: int = 15) -> float:
    """us for one of `times`."""
    found = []
    for _ in range(rounds):
        start = time.thread_time()
        work()
        found.append(time.thread_time() - start)
    return min(found) / times * 1e6


def fill(table: OrderedTable, keys: list[str]) -> float:
    """Put 50,000 rows over `keys` in batches; us a row."""
    start = time.thread_time()
    for first in range(0, ROWS, BATCH):
        times = range(first, first + BATCH)
        table.put([keys[at % len(keys)] for at in times], times, [[at] for at in times])
    return (time.thread_time() - start) / ROWS * 1e6


def of_each(table: OrderedTable) -> Callable[[], object]:
    """A range of each key: 5 of its 50 rows."""
    return lambda: [table.range(user, 20_000, 24_999) for user in USERS]


def figures(path: Path) -> list[Figure]:
    """All of them, on a store in `path`."""
    with closing(LmdbStore(path)) as store:
        state = TaskState(store, Codec())
        table, map_state = state.ordered("op", "rows"), state.nested("op", "map")
        found = {"put": fill(table, USERS), "range of one of 1,000 keys, 5 rows, " + OPEN: lowest(of_each(table), KEYS)}
        fill(table, ["hot"])
        hot = range(0, ROWS, 500)
        found["range of one key of 50,000 rows, 100 rows, " + OPEN] = lowest(
            lambda: [table.range("hot", at, at + 99) for at in hot], len(hot)
        )
        found["its newest row at or before a time"] = lowest(
            lambda: [table.range("hot", 0, at, newest_first=True, limit=1) for at in hot], len(hot)
        )
        for number in range(ROWS):
            map_state.put("hot", number, [number])
        found["range of one map of 50,000 entries, 10 entries, " + OPEN] = lowest(
            lambda: [map_state.range("hot", at, at + 9) for at in hot], len(hot)
        )
        map_state.drop("hot")
        state.seal()
        state.complete(Stamp("lineage", 1))
        found["range of one of 1,000 keys, in the clean cache"] = lowest(of_each(table), KEYS)

        def cold() -> None:
            again = TaskState(store, Codec()).ordered("op", "rows")
            again.prefetch(USERS, [20_000] * KEYS, [24_999] * KEYS)

        found["the same read from the store, with prefetch"] = lowest(cold, KEYS, rounds=5)
        table = TaskState(store, Codec()).ordered("op", "rows")
        found["drop, a row"] = lowest(lambda: table.drop(10_000), 20_000, rounds=1)
        found["take, a row"] = lowest(lambda: table.take(20_000), 20_000, rounds=1)
        return [Figure(name, value, "us", 50 if name.endswith(OPEN) else None) for name, value in found.items()]


@click.command()
@json_option("ranges")
def main(json_file: Path) -> None:
    """Measure ranges of state."""
    with TemporaryDirectory() as folder:
        show("ranges of state", figures(Path(folder)), json_file, {"rows": ROWS, "keys": KEYS})


if __name__ == "__main__":
    main()
