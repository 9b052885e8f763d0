"""Publishes immediately, at least once: an idempotent producer that repeats a record until the broker has it."""

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
    """The publisher of a job with at-least-once delivery: no markers, no transactions."""

    def __init__(self, settings: KafkaSettings, job: str) -> None:
        self._settings = settings
        self._job = job
        self._producer: PlainProducer | None = None
        self._outage: str | None = None

    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Connect. It fences nothing, and there are no markers."""
        self._producer = PlainProducer(self._settings)
        self._producer.connect()
        return dict.fromkeys(sinks)

    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Returns no markers."""
        return dict.fromkeys(sinks)

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        """Not available with at-least-once delivery."""
        raise InvariantBroken("An at-least-once publisher was asked to publish an epoch", job=self._job)

    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        """Pass records to the producer. Those for which its queue has no room wait here for `flush`."""
        self._opened().add(outputs)

    def flush(self) -> Iterator[str]:
        """Iterate until the broker has everything. Yields FLUSHING, or WAITING if there is no progress for long."""
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
        """Why publishing waits, while it waits."""
        return self._outage

    def close(self) -> None:
        """Release all resources. Records that were not flushed may be lost; the job writes them again after its
        recovery."""
        self._producer = None

    def _opened(self) -> PlainProducer:
        if self._producer is None:
            raise InvariantBroken("A publisher that is not open was asked to write", job=self._job)
        return self._producer
