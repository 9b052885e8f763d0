"""`python -m benchmarks.checkpoints`: what a checkpoint costs, in bytes written and in time when nothing is processed.

A job holds a value for each of many keys. Then some of them change, again and again, so that every epoch changes all of
those and no other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import click

from benchmarks.broker import broker_option, workshop
from benchmarks.figures import Figure, json_option, percentile, show
from benchmarks.keyed import KEY
from benchmarks.newest import Newest, Notes
from benchmarks.orders import Topics
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.segment import SegmentReader

PAUSE_AT_MOST = {1_000: 50.0, 100_000: 250.0}
KEEP_ALL = 1_000_000


@click.command()
@click.option("--keys", default=1_000_000, show_default=True, help="Keys of the state.")
@click.option("--changed", multiple=True, type=int, default=(1_000, 100_000), show_default=True, help="Keys per epoch.")
@click.option("--records", default=5_000_000, show_default=True, help="Records that change them.")
@click.option("--size", default=100, show_default=True, help="Bytes of a value.")
@broker_option
@json_option("checkpoints")
def main(keys: int, changed: tuple[int, ...], records: int, size: int, broker: str | None, json_file: Path) -> None:
    """Measure checkpoints of a large state of which little changes."""
    figures: list[Figure] = []
    with workshop(broker) as (topics, folder):
        for count in changed:
            figures += measure(topics, folder, keys, count, records, size)
    show(
        f"checkpoints of {keys:,} keys of {size} bytes",
        figures,
        json_file,
        {"keys": keys, "changed": changed, "records": records, "size": size},
    )


def measure(topics: Topics, folder: Path, keys: int, changed: int, records: int, size: int) -> list[Figure]:
    """The figures for one number of changed keys."""
    hot = random.Random(7).sample(range(keys), changed)
    with closing(Newest(topics, folder, size)) as job:
        job.append(range(keys))
        job.run(retain=KEEP_ALL)
        before = _objects(job.checkpoints)
        job.append(islice(cycle(hot), records))
        used, notes = job.run(retain=KEEP_ALL)
        job.check()
        written = {name: size for name, size in _objects(job.checkpoints).items() if name not in before}
        epochs, rows = _deltas(job.checkpoints, [name for name in written if name.endswith(".segment")])
    entries = rows * (KEY + size)
    deltas = _sum(written, ".segment") + _sum(written, ".json")
    bases = sum(size for name, size in written.items() if name.startswith("bases/"))
    ordinary, longest = median(wait for _, wait in notes.waits), longest_per_second(notes)

    def figure(name: str, value: float, unit: str, at_most: float | None = None) -> Figure:
        return Figure(f"{changed:,} changed: {name}", value, unit, at_most)

    return [
        figure("epochs", epochs, ""),
        figure("rows changed per epoch", rows / epochs, ""),
        figure("deltas and manifests over the changed entries' bytes", deltas / entries, "x", 4.0),
        figure("the same with bases", (deltas + bases) / entries, "x", 4.0),
        figure("staged output", _sum(written, ".output") / 1e6, "MB"),
        figure("all that the process wrote, LMDB and output too", used.written / entries, "x"),
        figure("between two batches, p50", ordinary * 1e3, "ms"),
        figure("longest pause of an epoch beyond that, p50", (percentile(longest, 0.5) - ordinary) * 1e3, "ms"),
        figure(
            "longest pause of an epoch beyond that, p99",
            (percentile(longest, 0.99) - ordinary) * 1e3,
            "ms",
            PAUSE_AT_MOST.get(changed),
        ),
    ]


def longest_per_second(notes: Notes) -> Sequence[float]:
    """The longest wait of each second between the first and the last (an epoch takes a second); 0 where none was."""
    longest = [0.0] * (int(notes.last - notes.first) + 1)
    for at, wait in notes.waits:
        longest[int(at - notes.first)] = max(longest[int(at - notes.first)], wait)
    return longest[1:-1] or longest


def _objects(store: Path) -> dict[str, int]:
    return {str(file.relative_to(store)): file.stat().st_size for file in store.rglob("*") if file.is_file()}


def _sum(objects: dict[str, int], suffix: str) -> int:
    return sum(size for name, size in objects.items() if name.endswith(suffix))


def _deltas(store: Path, segments: Sequence[str]) -> tuple[int, int]:
    """Epochs, and rows that changed in them."""
    checkpoints = open_store(f"file:{store}")
    rows = 0
    for name in segments:
        reader = SegmentReader(checkpoints, name)
        rows += sum(len(reader.delta(task)) for task in reader.tasks)
    return len(segments), rows


if __name__ == "__main__":
    main()
