"""Makes Python's garbage collector run less often while records are processed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 100_000
"""New containers, less those that are gone, between two looks: several polls' worth of records."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Look for cycles seldom while the block runs, and never among what is there already (modules, the job).

    Python looks after every 700 new containers, and each record that is read makes one: with its own setting that is a
    fifth of the time of a cheap job. Records and rows are freed by their reference counts, and hardly anything that
    rayflow makes is a cycle; those of users' functions are found as before, only later.

    >>> with collected_seldom():
    ...     gc.get_threshold()[0]
    100000
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
