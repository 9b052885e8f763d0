"""The clean cache of an ordered table."""

from __future__ import annotations

from typing import Any

from rayflow.state.cache import Generations
from rayflow.state.timed_rows import CleanRows


class TimedCache(Generations):
    """Clean rows by key. A key counts as one row more than it has, because the absence of rows must be cached, too."""

    def find(self, key: Any) -> CleanRows | None:
        """The known rows of the key."""
        rows: CleanRows | None = self._young.get(key)
        if rows is None and self._old:
            rows = self._old.pop(key, None)
            if rows is not None:
                self.keep_one(key, rows)
        return rows

    def keep(self, rows: dict[Any, CleanRows], encoded_bytes: int) -> None:
        count = sum(map(len, rows.values()))
        if count:
            self._mean = encoded_bytes // count
        for key, own in rows.items():
            self.keep_one(key, own)

    def keep_one(self, key: Any, rows: CleanRows) -> None:
        """Add rows that were read of a key, unless they are more than a generation can hold."""
        if self._fits(rows):
            self._cache.grows(len(rows) + 1, len(rows) + 1, self._mean)
            self._young[key] = rows

    def grew(self, key: Any, rows: CleanRows, added: int) -> None:
        """Note that rows were added to those of a key."""
        if not self._fits(rows):
            self._young.pop(key, None)
            self._old.pop(key, None)
        elif key in self._young:
            self._cache.grows(added, added, self._mean)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known about any key."""
        return not self._young and not self._old

    def _fits(self, rows: CleanRows) -> bool:
        count = len(rows) + 1
        return self._cache.room(count, len(rows) * self._mean) >= count
