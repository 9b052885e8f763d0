"""Laying a table's open epoch over the rows below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def overlay(
    mine: list[tuple[bytes, Any]], below: Iterable[tuple[bytes, bytes, bytes]]
) -> Iterator[tuple[Any, bytes, bytes | None]]:
    """Merge a table's open epoch with the rows below, in order of their row keys.

    Gives (key, b"", None) for each of `mine` (row key, key), and (None, encoded, data) for each row that is not in it.
    """
    at, end = 0, len(mine)
    for row_key, encoded, data in below:
        while at < end and mine[at][0] < row_key:
            yield mine[at][1], b"", None
            at += 1
        if at < end and mine[at][0] == row_key:
            yield mine[at][1], b"", None
            at += 1
        else:
            yield None, encoded, data
    for _, key in mine[at:]:
        yield key, b"", None
