"""Timers: keys that are due at a time."""

from __future__ import annotations

from typing import Any

from rayflow.serde.codec import Codec
from rayflow.state.namespaces import Namespaces
from rayflow.state.region import Region
from rayflow.state.state_table import StateTable


class TimerTable(StateTable):
    """A set of (time, key, tag), ordered by time (ms), then key, then tag. A nested table without values."""

    def __init__(self, operator: str, name: str, region: Region, codec: Codec) -> None:
        super().__init__(operator, name, codec)
        self._region = region
        self._times = Namespaces(region)

    def add(self, time: int, key: Any, tag: str = "") -> None:
        """Register a timer. Registering it twice has no further effect."""
        self._times.rows(time)[key, tag] = True

    def remove(self, time: int, key: Any, tag: str = "") -> None:
        """Remove a timer, if it is registered."""
        self._times.delete(time, (key, tag))

    def due(self, upto: int) -> list[tuple[int, Any, str]]:
        """Remove the timers up to and including `upto` (ms), and return them in order."""
        return [(time, key, tag) for time, (key, tag) in self._times.take(upto)]

    @property
    def last_time(self) -> int | None:
        """The latest time of a timer. It checks all timers of the epoch: not for hot paths."""
        last: int | None = self._times.last()
        return last

    @property
    def pending(self) -> int:
        return self._times.pending()

    def collect(self, changed: dict[bytes, bytes | None]) -> tuple[int, int]:
        encoded, _ = self._times.flat()
        changed.update(dict.fromkeys(self._times.tombstones()))
        self._region.collect(changed, encoded, [b""] * len(encoded))
        return len(encoded), 0

    def turn(self) -> None:
        self._times.turn()
