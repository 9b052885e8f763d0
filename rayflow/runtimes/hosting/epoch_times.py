"""The times of the steps of one epoch, and its published output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Epoch, SinkTask


@dataclass(slots=True)
class EpochTimes:
    """Times of a monotonic clock, in seconds."""

    epoch: Epoch
    barrier: float
    committed: float = 0.0
    published: float = 0.0
    done: float = 0.0
    outputs: Mapping[SinkTask, Sequence[EncodedBatch]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Seconds from the barrier until everything is published and applied."""
        return self.done - self.barrier
