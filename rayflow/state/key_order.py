"""When keys can be compared as they are, instead of by their canonical bytes (which costs ten times as much)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_ALIKE = {int, str, bytes}
"""Types whose order in Python is the order of their encodings."""


def is_natural(keys: Collection[Any], *bounds: Any) -> bool:
    """Whether Python's order of `keys`, and of them and `bounds` (None: no bound), is that of their encodings.

    >>> is_natural([3, 1, 2], 0, None), is_natural([("a", 1), ("b", 2)], ("a",)), is_natural([1, True])
    (True, True, False)
    """
    kinds = set(map(type, keys))
    if kinds == {tuple}:
        shapes = {tuple(map(type, key)) for key in keys}
        if len(shapes) != 1:
            return False
        shape = shapes.pop()
        return _ALIKE.issuperset(shape) and all(
            bound is None or (type(bound) is tuple and all(map(_same, map(type, bound), shape))) for bound in bounds
        )
    return len(kinds) == 1 and kinds <= _ALIKE and all(bound is None or type(bound) in kinds for bound in bounds)


def _same(first: type, second: type) -> bool:
    return first is second
