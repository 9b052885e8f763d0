"""Bases of states that are as small as simulated ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rayflow.engine import history


@contextmanager
def small_bases(floor: int, chain: int) -> Iterator[None]:
    """Have bases written for states as small as simulated ones."""
    before = history.BASE_FLOOR, history.MAX_CHAIN
    history.BASE_FLOOR, history.MAX_CHAIN = floor, chain
    try:
        yield
    finally:
        history.BASE_FLOOR, history.MAX_CHAIN = before
