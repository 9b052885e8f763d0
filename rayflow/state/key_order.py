"""Sorts keys in the order of their canonical bytes, without encoding them if Python's own order is the same."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection
from itertools import islice
from typing import Any

from rayflow.serde.keys import encode_canonical

_ALIKE = {int, str, bytes}
"""Types whose order in Python equals the order of their encodings."""

_FEW = 8
"""Up to this many new keys are inserted one by one; more are sorted."""


def is_natural(keys: Collection[Any], *bounds: Any) -> bool:
    """Whether Python's order of `keys` and `bounds` (None: no bound) equals the order of their encodings.

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


def in_order(keys: Collection[Any], start: Any = None, stop: Any = None, closed: bool = False) -> list[Any]:
    """Those of a few keys with start <= key < stop (closed: <= stop; None: no bound), in order.

    >>> in_order(["b", 2, "a", 1]), in_order([3, 1, 2], 2.0, 3), in_order([3, 1, 2], 2, 3, closed=True)
    (['a', 'b', 1, 2], [2], [2, 3])
    """
    natural = len(keys) < 2 or is_natural(keys)
    return _between(sorted(keys, key=None if natural else encode_canonical), natural, start, stop, closed)


def _between(keys: list[Any], natural: bool, start: Any, stop: Any, closed: bool) -> list[Any]:
    if not keys or (start is None and stop is None):
        return keys[:]
    low, high = 0, len(keys)
    bisect = bisect_right if closed else bisect_left
    if natural and is_natural(keys[:1], start, stop):
        if start is not None:
            low = bisect_left(keys, start)
        if stop is not None:
            high = bisect(keys, stop, low)
    else:
        if start is not None:
            low = bisect_left(keys, encode_canonical(start), key=encode_canonical)
        if stop is not None:
            high = bisect(keys, encode_canonical(stop), low, key=encode_canonical)
    return keys[low:high]


class SortedKeys:
    """The keys of a growing dict, in order. Each call inserts only the keys that were added since the last one.

    Report keys that are removed from the dict with `remove`. Added keys need no report.
    """

    def __init__(self, rows: dict[Any, Any]) -> None:
        self._rows = rows
        self._keys: list[Any] = []
        self._natural = True

    def between(self, start: Any, stop: Any, closed: bool) -> list[Any]:
        """The keys with start <= key < stop (closed: <= stop; None: no bound)."""
        new = len(self._rows) - len(self._keys)
        if new:
            self._add(list(islice(reversed(self._rows), new)))  # the newest keys of a dict are at its end
        return _between(self._keys, self._natural, start, stop, closed)

    def remove(self, key: Any) -> None:
        """Report that a key was removed from the dict, or was not there."""
        keys = self._keys
        if self._natural and is_natural(keys[:1], key):
            at = bisect_left(keys, key)
        else:
            at = bisect_left(keys, encode_canonical(key), key=encode_canonical)
        if at < len(keys) and keys[at] == key:
            del keys[at]

    def _add(self, new: list[Any]) -> None:
        keys = self._keys
        self._natural = self._natural and is_natural(keys[:1] + new)
        if len(new) > _FEW:
            keys += new
            keys.sort(key=None if self._natural else encode_canonical)
        elif self._natural:
            for key in new:
                insort(keys, key)
        else:
            for key in new:
                insort(keys, key, key=encode_canonical)


def _same(first: type, second: type) -> bool:
    return first is second
