"""The clean cache of a nested table."""

from __future__ import annotations

from typing import Any

from rayflow.state.cache import CleanCache, Generations


class NestedCache(Generations):
    """By namespace, then by key. A namespace is *whole* when all of its rows are here that are below the open epoch and
    not hidden by it, but for those that left to be changed.

    Attributes:
        whole_spaces: the whole namespaces; what is not here of them, nor changed, is nowhere.
    """

    def __init__(self, cache: CleanCache, small: int) -> None:
        super().__init__(cache)
        self._small = small
        self.whole_spaces: set[Any] = set()
        self._whole_young: set[Any] = set()
        """Those all of whose rows are young; of the others some are old."""

    def rotate(self) -> None:
        super().rotate()
        self.whole_spaces = self._whole_young
        self._whole_young = set()

    def whole(self, namespace: Any) -> dict[Any, Any] | None:
        """The rows of a namespace if it is whole and small, to be read only."""
        if namespace not in self.whole_spaces:
            return None
        if namespace not in self._whole_young:
            old = self._old.pop(namespace, {})
            space: dict[Any, Any] = self._young.setdefault(namespace, {})
            added = {key: value for key, value in old.items() if key not in space}
            space.update(added)
            self._whole_young.add(namespace)
            self._cache.grew(len(added), len(added) * self._mean)
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
        """Take over all rows that a namespace has."""
        self._old.pop(namespace, None)
        self._young[namespace] = rows
        self._whole_young.add(namespace)
        self.whole_spaces.add(namespace)
        self._grew(len(rows), encoded_bytes)

    def keep_epoch(self, whole: list[Any], rows: dict[Any, Any], encoded_bytes: int) -> None:
        """`keep`; the namespaces in `whole` have no other rows."""
        self._whole_young.update(whole)
        self.whole_spaces.update(whole)
        self.keep(rows, encoded_bytes)

    def take(self, namespace: Any, key: Any) -> Any:
        """The row, which leaves the cache; None when it is not there."""
        space = self._young.get(namespace)
        if space is not None:
            value = space.pop(key, None)
            if value is not None:
                self._taken += 1
                return value
        space = self._old.get(namespace)
        return None if space is None else space.pop(key, None)

    def find(self, namespace: Any, key: Any) -> Any:
        """The row, which stays; None when it is not there."""
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
        """Take over an epoch's rows by namespace; together of so many bytes when encoded."""
        count = 0
        young = self._young
        for namespace, space in rows.items():
            if space:
                count += len(space)
                present = young.get(namespace)
                if present:
                    present.update(space)
                else:
                    young[namespace] = space
        self._grew(count, encoded_bytes)

    def keep_one(self, namespace: Any, key: Any, value: Any, encoded_bytes: int) -> None:
        """Add one row that was read."""
        space = self._young.get(namespace)
        if space is None:
            space = self._young[namespace] = {}
        space[key] = value
        self._cache.grew(1, encoded_bytes)

    def forget(self, namespace: Any, key: Any) -> None:
        """Leave a deleted row out."""
        for generation in (self._young, self._old):
            space = generation.get(namespace)
            if space is not None:
                space.pop(key, None)

    def forget_all(self, namespace: Any) -> None:
        """Leave a dropped namespace out."""
        self._young.pop(namespace, None)
        self._old.pop(namespace, None)
        self._part(namespace)
