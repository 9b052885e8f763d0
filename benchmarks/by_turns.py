"""`python benchmarks/by_turns.py JOB LOG STATE`: run a job of `benchmarks/jobs` so that time decides nothing.

Batches, turns and the one epoch are the same on every machine, however slow. For `benchmarks.instructions`, which runs
this file with the packages of any checkout.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lmdb

LARGEST = 1 << 28
"""Bytes of an LMDB map: valgrind has address space for no more than a few large ones."""
POLL = 1_000

open_any = lmdb.open


def open_small(path: str, **options: Any) -> lmdb.Environment:
    """`lmdb.open` with a map of at most LARGEST bytes."""
    return open_any(path, **{**options, "map_size": min(LARGEST, options.get("map_size", LARGEST))})


if __name__ == "__main__":
    lmdb.open = open_small  # type: ignore[assignment]
    from tests.work.local import LocalJob, plan_named

    name, log, state = sys.argv[1:]
    job = object.__new__(LocalJob)  # `LocalJob(...)` would create the log
    job.plan, job.log, job.state = plan_named(name), f"embedded:{log}", Path(state)
    job.run(POLL)
