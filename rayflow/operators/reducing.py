"""Computes results from accumulators, for tables and windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from rayflow.core.batch import Batch
from rayflow.core.outputs import OUT
from rayflow.operators.base import Outputs
from rayflow.operators.failing import Failures, without
from rayflow.operators.loops import Loop

CHUNK = 10_000
"""Number of records in a batch that an operator creates from its state."""


def results_of(
    finish: Loop,
    failures: Failures,
    items: Iterable[tuple[Any, Any]],
    timestamps: Iterator[int],
    start: int = 0,
    end: int = 0,
) -> Iterator[tuple[str, Batch]]:
    """Yield batches with the result of each (key, accumulator), each with the next of the timestamps.

    A result that cannot be computed counts as a failed record with a null value.
    """
    origin = failures.context.origin
    rows = iter(items)
    while chunk := list(islice(rows, CHUNK)):
        count = len(chunk)
        batch = Batch.made(origin, [key for key, _ in chunk], [None] * count, list(islice(timestamps, count)))
        results: list[Any] = []
        yield from _finished(finish, failures, batch, chunk, start, end, results)


def _finished(
    finish: Loop,
    failures: Failures,
    batch: Batch,
    chunk: list[tuple[Any, Any]],
    start: int,
    end: int,
    results: list[Any],
) -> Outputs:
    remaining = iter(chunk)
    rejected, dead = failures.each(batch, remaining, lambda: finish.run(remaining, start, end, results.append))
    return (*dead, (OUT, without(batch, rejected).with_values(results)))
