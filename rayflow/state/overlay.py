"""Merges a table's open epoch with the rows below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def overlay(
    mine: Iterable[tuple[bytes, Any]], below: Iterable[tuple[bytes, bytes, bytes]]
) -> Iterator[tuple[Any, bytes, bytes | None]]:
    """Merge a table's open epoch with the rows below, both in order of their row keys, or of their encoded keys.

    Yields (key, b"", None) for each of `mine` (row key, key), and (None, encoded, data) for each row that is not in
    `mine`.
    """
    remaining = iter(mine)
    own = next(remaining, None)
    for row_key, encoded, data in below:
        while own is not None and own[0] < row_key:
            yield own[1], b"", None
            own = next(remaining, None)
        if own is not None and own[0] == row_key:
            yield own[1], b"", None
            own = next(remaining, None)
        else:
            yield None, encoded, data
    while own is not None:
        yield own[1], b"", None
        own = next(remaining, None)
