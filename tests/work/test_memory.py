"""What stays in memory: nothing for each record, once its epoch is done."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from benchmarks.orders import BEGIN, orders
from benchmarks.workloads import WORKLOADS
from rayflow.engine.actions import ReportDone
from rayflow.runtimes.hosting.steps import after
from tests.work.local import LocalJob, plan_named

RECORDS, BATCH, KEYS = 20_000, 250, 50
APPENDED = 1_000
"""Records that are appended, and so kept by the log, together: a reader has all of them in memory at once."""

APART = 100
"""Milliseconds of event time between two records, so that a window of a minute closes every 600 records."""

FIRST, LAST = 1, 4
"""Epochs that are compared: at the end of each, as many records of the next have been read."""

PER_RECORD = 0.2
"""Blocks of memory per record that count as none. An epoch keeps some itself, such as its segment's name, and the log
does not end its pieces where epochs end; a single object that is kept for each record would give 1."""


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_memory_is_kept_per_record_when_its_epoch_is_done(name: str, tmp_path: Path) -> None:
    local = LocalJob(plan_named(WORKLOADS[name].job), tmp_path)
    records = [(key, value, BEGIN + (ts - BEGIN) * APART) for key, value, ts in orders(RECORDS, KEYS, KEYS)]
    for start in range(0, RECORDS, APPENDED):
        local.append(records[start : start + APPENDED])
    del records
    blocks: list[int] = []

    def look(step: str) -> None:
        if step == after(ReportDone):
            gc.collect()
            blocks.append(sys.getallocatedblocks())

    assert local.run(BATCH, epochs=True, on_step=look) == RECORDS
    assert len(blocks) > LAST + 2  # the last two epochs have nothing more to read
    grown = (blocks[LAST] - blocks[FIRST]) / (LAST - FIRST)
    print(f"{name}: {grown:.0f} blocks per epoch, {grown / (RECORDS / len(blocks)):.3f} per record")
    assert grown / (RECORDS / len(blocks)) < PER_RECORD
