"""Lets simulations write bases, in several parts, although their states are small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rayflow.checkpoint import bases
from rayflow.engine import history

PART = 400
"""Bytes of rows in one part of a base."""


@contextmanager
def small_bases(floor: int, chain: int) -> Iterator[None]:
    """Have bases written even for the small states of simulations."""
    before = history.BASE_FLOOR, history.MAX_CHAIN, bases.PART_BYTES
    history.BASE_FLOOR, history.MAX_CHAIN, bases.PART_BYTES = floor, chain, PART
    try:
        yield
    finally:
        history.BASE_FLOOR, history.MAX_CHAIN, bases.PART_BYTES = before
