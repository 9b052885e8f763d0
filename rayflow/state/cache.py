"""The clean cache: live objects of rows that the open epoch has not changed.

There are two generations. New rows go to the young one. When it is full it becomes the old one, and the previous old
one is dropped. A row that is loaded to be changed leaves the cache and returns at the next seal, so an object is never
both in the cache and in the open epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import islice
from typing import Any

_PER_ROW = 250
"""Bytes that a row uses in addition to its value: its key, and its part of the dicts."""

_PER_BYTE = 3
"""Bytes of Python objects per encoded byte."""


def bytes_of(rows: int, encoded_bytes: int) -> int:
    """Estimate of the memory of live rows whose values have this many bytes when encoded.

    >>> bytes_of(2, 20)
    560
    """
    return rows * _PER_ROW + encoded_bytes * _PER_BYTE


class CleanCache:
    """Limits the generations of all tables of one task to `limit` bytes, an estimate."""

    def __init__(self, limit: int) -> None:
        self._share = limit // 2
        self._filled = 0
        self._parts: list[Generations] = []

    def join(self, part: Generations) -> None:
        """Count the contents of `part`."""
        self._parts.append(part)

    def room(self, rows: int, encoded_bytes: int) -> int:
        """How many rows one generation may hold."""
        size = bytes_of(rows, encoded_bytes)
        return rows if size <= self._share else rows * self._share // size

    def grows(self, rows: int, new: int, mean: int) -> None:
        """Prepare for more rows in the young generation, of `mean` encoded bytes each; `new` of them are not counted
        yet."""
        self._filled += bytes_of(new, new * mean)
        if self._filled > self._share:
            for part in self._parts:
                part.rotate()
            self._filled = bytes_of(rows, rows * mean)


class Generations(ABC):
    """The part of the cache for one table."""

    def __init__(self, cache: CleanCache) -> None:
        self._cache = cache
        self._young: dict[Any, Any] = {}
        self._old: dict[Any, Any] = {}
        self._taken = 0
        self._mean = 0
        cache.join(self)

    def rotate(self) -> None:
        """Turn the young generation into the old one."""
        self._old = self._young
        self._young = {}
        self._taken = 0

    def _grows(self, rows: int, encoded_bytes: int) -> None:
        """Count `rows` that will be added, except those that were taken out of the young generation to be changed."""
        new = max(0, rows - self._taken)
        self._taken = 0
        if new:
            self._mean = encoded_bytes // rows
            self._cache.grows(rows, new, self._mean)

    @abstractmethod
    def keep(self, rows: dict[Any, Any], encoded_bytes: int) -> None:
        """Add an epoch's rows (the dict becomes the cache's own). `encoded_bytes`: their total encoded size."""


class ValueCache(Generations):
    """A cache by key."""

    def take(self, key: Any) -> Any:
        """Remove the row from the cache, and return it; None if it is not there."""
        value = self._young.pop(key, None)
        if value is None:
            return self._old.pop(key, None) if self._old else None
        self._taken += 1
        return value

    def find(self, key: Any) -> Any:
        """The row, which stays in the cache; None if it is not there."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self.keep_one(key, value, self._mean)
        return value

    def lacking(self, keys: set[Any]) -> set[Any]:
        """Those of `keys` that are not in the cache."""
        return keys.difference(self._young).difference(self._old)

    def keep(self, rows: dict[Any, Any], encoded_bytes: int) -> None:
        count = len(rows)
        room = self._cache.room(count, encoded_bytes)
        if room < count:
            # Keep the rows that were used first, which include the frequent ones. Drop the existing ones: they may be
            # older values of rows that are not kept.
            rows = dict(islice(rows.items(), room))
            self._grows(room, encoded_bytes * room // count)
            self._young, self._old = rows, {}
            return
        self._grows(count, encoded_bytes)
        if self._young:
            self._young.update(rows)
        else:
            self._young = rows

    def keep_one(self, key: Any, value: Any, encoded_bytes: int) -> None:
        """Add one row that was read."""
        self._cache.grows(1, 1, encoded_bytes)
        self._young[key] = value

    def forget(self, key: Any) -> None:
        """Remove a deleted row."""
        self._young.pop(key, None)
        if self._old:
            self._old.pop(key, None)
