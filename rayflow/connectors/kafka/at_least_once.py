"""Publishes at once, at least once: an idempotent producer that sends again until the broker has the records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from rayflow.connectors.base import Publisher
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.plain_producer import PlainProducer
from rayflow.connectors.steps import FLUSHING, WAITING
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Marker, SinkTask, TopicPartition

_PACE = 0.001
_SLOW = 1.0


class AtLeastOncePublisher(Publisher):
    """The publisher of a job that asks for at-least-once output: no markers, no transactions."""

    def __init__(self, settings: KafkaSettings, job: str) -> None:
        self._settings = settings
        self._job = job
        self._producer: PlainProducer | None = None
        self._outage: str | None = None

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Connect. Nothing is fenced, and there are no markers."""
        self._producer = PlainProducer(self._settings)
        self._producer.connect()
        return dict.fromkeys(sinks)

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """There are none."""
        return dict.fromkeys(sinks)

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        """Not for at-least-once."""
        raise InvariantBroken("An at-least-once publisher was asked to publish an epoch", job=self._job)

    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        """Hand records over; what the producer's queue has no room for waits here for `flush`."""
        self._opened().add(outputs)

    def flush(self) -> Iterator[str]:
        """Iterate until the broker has everything. Yields FLUSHING, or WAITING while nothing moves for long."""
        producer = self._opened()
        before, moved = -1, time.monotonic()
        while (left := producer.advance(_PACE)) > 0:
            now = time.monotonic()
            if left != before:
                before, moved = left, now
            slow = now - moved > _SLOW
            self._outage = (producer.contact.outage or f"no answer for {now - moved:.0f} s") if slow else None
            yield WAITING if slow else FLUSHING
        self._outage = None
        producer.contact.reached()

    @property
    def outage(self) -> str | None:
        """Why publishing waits, while it does."""
        return self._outage

    def close(self) -> None:
        """Let go; what was not flushed may be lost, and is written again after the job's recovery."""
        self._producer = None

    def _opened(self) -> PlainProducer:
        if self._producer is None:
            raise InvariantBroken("A publisher that is not open was asked to write", job=self._job)
        return self._producer
