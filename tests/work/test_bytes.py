"""What is written in an epoch in which few of many keys change: about what has changed, wherever it goes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path

from benchmarks.orders import BEGIN
from tests.work.doubles import Applied, counted_stores
from tests.work.local import LocalJob, plan_named

CHANGES, BATCH = 20_000, 250
"""An epoch takes several polls, and each key that changes at all comes in every one of them."""


def test_of_100_000_keys_1_000_that_change_cost_their_own_bytes_once_in_each_place(tmp_path: Path) -> None:
    """Per row: four bytes of the table's name, two of the key's type and end; a header each of key and value."""
    key, value = 8, 100

    def records(numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes, int]]:
        chance = random.Random(7)
        return ((b"k%07d" % number, b"%0*x" % (value, chance.getrandbits(4 * value)), BEGIN) for number in numbers)

    hot = random.Random(7).sample(range(100_000), 1_000)
    job = LocalJob(plan_named("newest"), tmp_path)
    sizes, applied = written(job, records(range(100_000)), records(islice(cycle(hot), CHANGES)))
    assert max(applied.rows.values()) == 1_000
    entries = (key + value) * applied.rows.total()
    show("1,000 of 100,000 keys with 100 bytes", sizes, applied, entries)
    assert entries <= applied.size < 1.15 * entries
    assert entries <= sizes["segment"] < 1.2 * entries
    assert entries <= sizes["output"] < 1.2 * entries
    assert sizes.total() < 2.5 * entries


def test_small_rows_cost_less_than_three_times_their_bytes(tmp_path: Path) -> None:
    """An accumulator of a count and a float, in a list of two elements with a type each."""
    key, value = 6, 8 + 8

    def records(numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes, int]]:
        order = b'{"user":"","item":"","price":12.5,"qty":1}'
        return ((b"u%05d" % number, order, BEGIN) for number in numbers)

    job = LocalJob(plan_named("count_epoch"), tmp_path)
    sizes, applied = written(job, records(range(10_000)), records(islice(cycle(range(0, 10_000, 20)), CHANGES)))
    assert max(applied.rows.values()) == 500
    entries = (key + value) * applied.rows.total()
    show("500 of 10,000 keys with a count and a sum", sizes, applied, entries)
    assert entries <= applied.size < 1.3 * entries
    assert entries <= sizes["segment"] + sizes["json"] < 2.0 * entries


def written(
    job: LocalJob, held: Iterable[tuple[bytes, bytes, int]], changes: Iterable[tuple[bytes, bytes, int]]
) -> tuple[Counter[str], Applied]:
    """What a run of several epochs over `changes` writes, after one over `held`."""
    job.append(held)
    job.run(10_000)
    job.append(changes)
    with counted_stores() as stores:
        job.run(BATCH, epochs=True)
    return stores


def show(what: str, sizes: Counter[str], applied: Applied, entries: int) -> None:
    objects = ", ".join(f"{kind} {size / entries:.3f}" for kind, size in sizes.items())
    print(f"{what}, {len(applied.rows)} epochs; over the entries' bytes: LMDB {applied.size / entries:.3f}, {objects}")
