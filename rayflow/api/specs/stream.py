"""Reading a topic: decoding, event time, and sample values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rayflow.api.durations import text_of
from rayflow.api.specs.base import OperatorSpec
from rayflow.core.failures import OnError, Stop
from rayflow.serde.base import Serde


@dataclass(frozen=True, slots=True)
class WatermarkStrategy:
    """How event time advances with the records of a source partition.

    Attributes:
        out_of_order: ms that a record may be behind the newest one of its partition (the watermark is the newest
            timestamp less this, less 1 ms); None if event time never advances (`no_watermark`).
    """

    out_of_order: int | None

    @property
    def label(self) -> str:
        """For descriptions of a plan."""
        if self.out_of_order is None:
            return "no watermark"
        return f"out of order by {text_of(self.out_of_order)}" if self.out_of_order else "in order"


@dataclass(frozen=True, slots=True)
class Sample:
    """Sample data for a topic that does not exist yet, when the job runs on the embedded log.

    Attributes:
        values: returns the values, a finite number of them; keys are null.
        value: the stream's serde.
        timestamp: event time (ms) from the value; None: the time of writing.
    """

    values: Callable[[], Iterable[Any]]
    value: Serde[Any]
    timestamp: Callable[[Any], int] | None = None


@dataclass(frozen=True, slots=True)
class StreamSpec(OperatorSpec):
    """Decodes a source's records, sets their timestamps, and computes the watermark.

    Attributes:
        timestamp: event time (ms) from the decoded value; None keeps the broker's.
        idle_after: ms of wall clock without records after which the partition no longer holds event time back.
    """

    key: Serde[Any]
    value: Serde[Any]
    timestamp: Callable[[Any], int] | None = None
    watermark: WatermarkStrategy = field(default_factory=lambda: WatermarkStrategy(0))
    idle_after: int | None = None
    on_error: OnError = field(default_factory=Stop)

    @property
    def label(self) -> str:
        return f"key {self.key.name}, value {self.value.name}, {self.watermark.label}"
