"""Writes records from outside of a job."""

from __future__ import annotations

import time

from rayflow.connectors.base import Appender
from rayflow.connectors.kafka.admin import KafkaAdmin
from rayflow.connectors.kafka.client import CONNECT_TIMEOUT
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.plain_producer import PlainProducer
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable

_BACKLOG = 500_000
"""The number of records in flight above which `append` waits for the broker, so that memory stays bounded."""


class KafkaAppender(Appender):
    """A plain producer. `append` waits only if very many records are in flight."""

    def __init__(self, settings: KafkaSettings, admin: KafkaAdmin) -> None:
        self._settings = settings
        self._admin = admin
        self._producer: PlainProducer | None = None
        self._known_topics: set[str] = set()
        self._appended = 0

    def append(self, batch: EncodedBatch) -> None:
        """Add records to a topic. Raises UnknownTopic, RecordTooLarge, BrokerUnavailable."""
        if batch.topic not in self._known_topics:
            self._admin.partitions(batch.topic)
            self._known_topics.add(batch.topic)
        if self._producer is None:
            self._producer = PlainProducer(self._settings)
        self._producer.add([batch])
        self._appended += len(batch)
        if self._appended > _BACKLOG:
            self.flush()

    def flush(self) -> None:
        """Wait until the broker has everything. Raises BrokerUnavailable if there is no progress for 10 s."""
        if self._producer is None:
            return
        before, moved = -1, time.monotonic()
        while (left := self._producer.advance(0.05)) > 0:
            now = time.monotonic()
            if left != before:
                before, moved = left, now
            elif now - moved > CONNECT_TIMEOUT:
                why = self._producer.contact.outage or "no answer"
                raise BrokerUnavailable(f"The broker accepted no record for {CONNECT_TIMEOUT:g} s ({why})")
        self._appended = 0

    def close(self) -> None:
        """Flush, and release all resources."""
        try:
            self.flush()
        finally:
            self._producer = None
