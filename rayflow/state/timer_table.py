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
        """Register a timer; registering it twice is registering it once."""
        self._times.rows(time)[key, tag] = True

    def remove(self, time: int, key: Any, tag: str = "") -> None:
        """Take a timer back, if it is there."""
        self._times.delete(time, (key, tag))

    def due(self, upto: int) -> list[tuple[int, Any, str]]:
        """The timers up to and including `upto` (ms), in order; they are removed by this call."""
        return [(time, key, tag) for time, (key, tag) in self._times.take(upto)]

    @property
    def last_time(self) -> int | None:
        """The latest time for which there is a timer. It looks at all timers of the epoch: not for hot paths."""
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
