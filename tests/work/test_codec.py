"""What goes through the codec: a row once for each epoch in which it changes, an exchange only to check the first."""

from __future__ import annotations

from pathlib import Path

from benchmarks.orders import PARTITIONS, orders
from tests.work.doubles import counted_codec, counted_stores
from tests.work.local import LocalJob, plan_named

RECORDS, BATCH, KEYS = 10_000, 250, 100


def test_an_exchange_in_one_process_encodes_only_its_first_batches(tmp_path: Path) -> None:
    job = LocalJob(plan_named("shuffle"), tmp_path)
    job.append(orders(RECORDS, items=KEYS))
    with counted_codec() as passes:
        job.run(BATCH)
    batches = PARTITIONS * RECORDS // BATCH
    print(f"columns of keys and values encoded for {batches} batches: {passes['columns encoded']}")
    assert passes["columns encoded"] == passes["columns decoded"] == 2 * 3  # CHECKED_BATCHES: a few, whatever comes


def test_a_row_is_encoded_once_for_each_epoch_that_changes_it_and_never_decoded(tmp_path: Path) -> None:
    job = LocalJob(plan_named("shuffle"), tmp_path)
    job.append(orders(RECORDS, items=KEYS))
    with counted_codec() as passes, counted_stores() as (_, applied):
        job.run(BATCH, epochs=True)
    rows = applied.rows.total()
    print(f"{RECORDS} records changed {rows} rows in {len(applied.rows)} epochs: {passes['values encoded']} encoded")
    assert len(applied.rows) > 3
    assert rows <= KEYS * len(applied.rows)
    assert passes["values encoded"] == rows
    assert passes["values decoded"] == 0  # those of earlier epochs are in the cache


def test_a_row_of_an_earlier_run_is_decoded_once(tmp_path: Path) -> None:
    job = LocalJob(plan_named("shuffle"), tmp_path)
    for _ in range(2):
        job.append(orders(RECORDS, items=KEYS))
        with counted_codec() as passes:
            job.run(BATCH, epochs=True)
    print(f"{KEYS} rows that the state held: {passes['values decoded']} decoded")
    assert passes["values decoded"] == KEYS
