"""The clean cache of a nested table."""

from __future__ import annotations

from itertools import islice
from typing import Any

from rayflow.state.cache import CleanCache, Generations


class NestedCache(Generations):
    """A cache by namespace, then by key. A namespace is *whole* if the cache has all of its rows below the open epoch
    that the open epoch does not hide, except those that left the cache to be changed.

    Attributes:
        whole_spaces: the whole namespaces. A row of them that is neither here nor changed does not exist.
    """

    def __init__(self, cache: CleanCache, small: int) -> None:
        super().__init__(cache)
        self._small = small
        self.whole_spaces: set[Any] = set()
        self._whole_young: set[Any] = set()
        """Those whose rows are all young; others also have old rows."""

    def rotate(self) -> None:
        super().rotate()
        self.whole_spaces = self._whole_young
        self._whole_young = set()

    def whole(self, namespace: Any) -> dict[Any, Any] | None:
        """The rows of a namespace if it is whole and small, read-only."""
        if namespace not in self.whole_spaces:
            return None
        if namespace not in self._whole_young:
            added = len(self._old.get(namespace, ()))
            self._cache.grows(added, added, self._mean)
            if namespace not in self.whole_spaces:  # the cache was too full: the old rows are gone
                return None
            space: dict[Any, Any] = self._young.setdefault(namespace, {})
            for key, value in self._old.pop(namespace, {}).items():
                space.setdefault(key, value)
            self._whole_young.add(namespace)
        else:
            space = self._young.get(namespace, {})
        if len(space) > self._small:
            self._part(namespace)
            return None
        return space

    def _part(self, namespace: Any) -> None:
        self.whole_spaces.discard(namespace)
        self._whole_young.discard(namespace)

    def keep_whole(self, namespace: Any, rows: dict[Any, Any], encoded_bytes: int) -> None:
        """Add all rows of a namespace."""
        self._grows(len(rows), encoded_bytes)
        self._old.pop(namespace, None)
        self._young[namespace] = rows
        self._whole_young.add(namespace)
        self.whole_spaces.add(namespace)

    def keep_epoch(self, whole: list[Any], rows: dict[Any, Any], encoded_bytes: int) -> None:
        """Like `keep`; the namespaces in `whole` have no other rows."""
        if self._keep(rows, encoded_bytes):
            self._whole_young.update(namespace for namespace in whole if namespace not in self._old)
            self.whole_spaces.update(whole)

    def take(self, namespace: Any, key: Any) -> Any:
        """Remove the row from the cache, and return it; None if it is not there."""
        space = self._young.get(namespace)
        if space is not None:
            value = space.pop(key, None)
            if value is not None:
                self._taken += 1
                return value
        space = self._old.get(namespace)
        return None if space is None else space.pop(key, None)

    def find(self, namespace: Any, key: Any) -> Any:
        """The row, which stays in the cache; None if it is not there."""
        space = self._young.get(namespace)
        if space is not None:
            value = space.get(key)
            if value is not None:
                return value
        space = self._old.get(namespace)
        if space is None:
            return None
        value = space.pop(key, None)
        if value is not None:
            self.keep_one(namespace, key, value, self._mean)
        return value

    def keep(self, rows: dict[Any, Any], encoded_bytes: int) -> None:
        """Take over an epoch's rows by namespace, of `encoded_bytes` in all."""
        self._keep(rows, encoded_bytes)

    def _keep(self, rows: dict[Any, Any], encoded_bytes: int) -> bool:
        """Like `keep`. Returns whether there was room for all of them."""
        count = sum(map(len, rows.values()))
        room = self._cache.room(count, encoded_bytes)
        if room < count:
            # Keep the rows that were used first. Drop the existing ones: they may be older values of other rows.
            self._grows(room, encoded_bytes * room // count)
            self._young, self._old = _first(rows, room), {}
            self.whole_spaces, self._whole_young = set(), set()
            return False
        self._grows(count, encoded_bytes)
        young = self._young
        for namespace, space in rows.items():
            if space:
                present = young.get(namespace)
                if present:
                    present.update(space)
                else:
                    young[namespace] = space
        return True

    def keep_one(self, namespace: Any, key: Any, value: Any, encoded_bytes: int) -> None:
        """Add one row that was read."""
        self._cache.grows(1, 1, encoded_bytes)
        space = self._young.get(namespace)
        if space is None:
            space = self._young[namespace] = {}
        space[key] = value

    def forget(self, namespace: Any, key: Any) -> None:
        """Remove a deleted row."""
        for generation in (self._young, self._old):
            space = generation.get(namespace)
            if space is not None:
                space.pop(key, None)

    def forget_all(self, namespace: Any) -> None:
        """Remove a dropped namespace."""
        self._young.pop(namespace, None)
        self._old.pop(namespace, None)
        self._part(namespace)


def _first(spaces: dict[Any, dict[Any, Any]], room: int) -> dict[Any, dict[Any, Any]]:
    """The first `room` rows, in order of their namespaces.

    >>> _first({1: {"a": 1}, 2: {"a": 1, "b": 2}, 3: {"a": 1}}, 2)
    {1: {'a': 1}, 2: {'a': 1}}
    """
    kept: dict[Any, dict[Any, Any]] = {}
    for namespace, space in spaces.items():
        if room <= 0:
            break
        kept[namespace] = space if len(space) <= room else dict(islice(space.items(), room))
        room -= len(space)
    return kept
