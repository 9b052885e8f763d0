"""Shared by the serdes of this package: a function over a column, and names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def mapped(fn: Callable[[Any], Any], column: list[Any]) -> list[Any]:
    """Apply a function to each object of a column; None stays.

    >>> mapped(str.encode, ["a", None])
    [b'a', None]
    """
    if None in column:
        return [None if item is None else fn(item) for item in column]
    return list(map(fn, column))


def typed_name(kind: str, into: Any) -> str:
    """A serde's name with the type into which it decodes; None: plain Python.

    >>> typed_name("json", int), typed_name("json", dict[str, int]), typed_name("json", None)
    ('json int', 'json dict[str, int]', 'json')
    """
    if into is None:
        return kind
    if type(into) is type or not hasattr(into, "__args__"):
        return f"{kind} {getattr(into, '__qualname__', into)}"
    return f"{kind} {into}"
