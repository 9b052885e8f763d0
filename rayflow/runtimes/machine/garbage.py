"""Makes Python's garbage collector run less often while records are processed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 100_000
"""New containers, less deleted ones, between two collections: several polls of records."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Look for cycles rarely while the block runs, and never among existing objects (modules, the job).

    Python looks for cycles after every 700 new containers, and each record that is read creates one. With Python's
    default a cheap job spends a fifth of its time on this. Records and rows are freed by their reference counts, and
    rayflow creates hardly any cycles. Cycles of users' functions are still found, only later.

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
