"""Runs many simulations in parallel, one process per core."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORTH = 16
"""The number of runs below which another process costs more than it saves."""


def in_order(function: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Result]:
    """`function` of each item, in order, computed by up to `jobs` processes; by this one if there are few items.

    >>> list(in_order(abs, [-1, 2], jobs=2))
    [1, 2]
    """
    jobs = min(jobs, len(items) // WORTH)
    if jobs < 2:
        yield from map(function, items)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(function, items, chunksize=max(1, min(8, len(items) // jobs // 4)))
