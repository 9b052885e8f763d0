"""The keys that the open epoch has changed, for operators that emit the newest result of each at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayflow.core.batch import Batch, Origin
from rayflow.core.ids import WATERMARK_MIN


class ChangedKeys:
    """Each key with the newest event time of the records that changed it.

    Records of one source partition mostly come in the order of time, those of several do not. So each partition has its
    own times until the epoch ends: then a record costs a dict's update, in C.
    """

    def __init__(self) -> None:
        self._of: dict[Origin, _Times] = {}

    def note(self, batch: Batch) -> None:
        """Record that these records have changed their keys."""
        stamps = batch.timestamps
        if not stamps:
            return
        times = self._of.get(batch.origin)
        if times is None:
            times = self._of[batch.origin] = _Times()
        if stamps[0] >= times.newest and sorted(stamps) == stamps:  # the last record of a key is its newest
            times.update(zip(batch.keys, stamps, strict=True))
            times.newest = stamps[-1]
        else:
            for key, time in zip(batch.keys, stamps, strict=True):
                times[key] = max(time, times.get(key, WATERMARK_MIN))
            times.newest = max(times.newest, max(stamps))

    def take(self) -> Mapping[Any, int]:
        """The keys of the epoch that ends, each with its newest time; the next epoch begins with none."""
        partitions, self._of = list(self._of.values()), {}
        if not partitions:
            return {}
        first, *others = partitions
        for times in others:
            for key, time in times.items():
                if first.get(key, WATERMARK_MIN) < time:
                    first[key] = time
        return first


class _Times(dict[Any, int]):
    """Of one source partition: the newest time of each key, and of all."""

    newest = WATERMARK_MIN
