"""What the tests of whole jobs do to a broker, be it the embedded log or Kafka."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from confluent_kafka import KafkaException

from rayflow.cli.topics.reading import read_topic
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.connectors.embedded.environment import acquire
from rayflow.connectors.registry import open_connector
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import TopicExists
from rayflow.core.hashing import murmur2
from rayflow.core.topics import ConnectorSpec
from tests.kafka.client import Kafka, until


@dataclass(frozen=True)
class Record:
    """A record as a reader of committed records sees it."""

    partition: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: dict[str, bytes | None] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The value, decoded."""
        return None if self.value is None else msgspec.json.decode(self.value)


class Broker:
    """A broker that a job is run on. Topics are called as the test calls them, with `tag` behind.

    Attributes:
        url: what a job is given. tag: makes the names of this test's jobs and topics its own.
    """

    def __init__(self, url: str, config: Mapping[str, str] | None = None, tag: str | None = None) -> None:
        self.url = url
        self.config = dict(config or {})
        self.tag = f"-{uuid.uuid4().hex[:10]}" if tag is None else tag
        self.connector = open_connector(ConnectorSpec(url, tuple(self.config.items())))

    @property
    def is_kafka(self) -> bool:
        """Whether it is Kafka."""
        return self.url.startswith("kafka:")

    @cached_property
    def kafka(self) -> Kafka:
        """The same as the tests' plain client sees it."""
        return Kafka(self.url.removeprefix("kafka://"))

    def name(self, name: str) -> str:
        """The full name of a topic or a job of this test."""
        return name + self.tag

    def create(self, topic: str, partitions: int = 1) -> str:
        """Have a topic; its full name."""
        try:
            self.connector.create(self.name(topic), partitions)
        except TopicExists:
            assert self.connector.partitions(self.name(topic)) == partitions
        return self.name(topic)

    def append(self, topic: str, records: Iterable[tuple[Any, ...]]) -> None:
        """Write records `(key, value[, timestamp])`. Keys are str or None; values bytes, str, or JSON of anything else.

        A key's partition is where Java's clients put it; records without one go to partition 0.
        """
        partitions = self.connector.partitions(self.name(topic))
        rows: dict[int, list[tuple[bytes | None, bytes, int]]] = defaultdict(list)
        for key, value, *rest in records:
            raw = None if key is None else key.encode()
            at = 0 if raw is None else (murmur2(raw) & 0x7FFFFFFF) % partitions
            rows[at].append((raw, _encoded(value), *(rest or (1,))))
        appender = self.connector.appender()
        for partition, found in rows.items():
            keys, values, stamps = map(list, zip(*found, strict=True))
            appender.append(EncodedBatch(self.name(topic), keys, values, stamps, partition=partition))
        appender.close()

    def read(self, topic: str) -> list[Record]:
        """All committed records, in order within each partition.

        Kafka shows a transaction's records some ms after it has answered that the transaction is committed: waits.
        """
        if self.is_kafka:
            until(lambda: self._is_settled(self.name(topic)))
        return [
            Record(batch.origin.partition, key, value, stamp, dict(headers))
            for polled in read_topic(self.connector, self.name(topic), from_start=True, follow=False)
            for batch in [polled.batch]
            for key, value, stamp, headers in zip(
                batch.keys, batch.values, batch.timestamps, batch.headers or [[]] * len(batch), strict=True
            )
        ]

    def _is_settled(self, topic: str) -> bool:
        try:
            return not self.kafka.open_transactions(topic)
        except KafkaException:  # the topic is so new that its partitions have no leaders yet
            return False

    def values(self, topic: str) -> list[Any]:
        """All values, decoded from JSON, in order within each partition."""
        return [record.json for record in self.read(topic)]

    def texts(self, topic: str) -> list[str]:
        """All values as text, in order within each partition."""
        return [(record.value or b"").decode() for record in self.read(topic)]

    def by_key(self, topic: str) -> dict[str, list[Any]]:
        """The values of each key, decoded from JSON, in order."""
        found: dict[str, list[Any]] = defaultdict(list)
        for record in self.read(topic):
            found["" if record.key is None else record.key.decode()].append(record.json)
        return dict(found)

    def by_text(self, topic: str) -> dict[str, list[str]]:
        """The values of each key as text, in order."""
        found: dict[str, list[str]] = defaultdict(list)
        for record in self.read(topic):
            found[(record.key or b"").decode()].append((record.value or b"").decode())
        return dict(found)

    def forget_markers(self, job: str) -> None:
        """Do at once what Kafka does to a group that nobody has used for seven days."""
        if isinstance(self.connector, EmbeddedConnector):
            environment = acquire(self.connector.path)
            with environment.write() as txn:
                cursor = txn.cursor()
                while cursor.set_range(b"m") and bytes(cursor.key()[:1]) == b"m":
                    cursor.delete()
            environment.release()
        else:
            self.kafka.admin.delete_consumer_groups([f"{job}-markers"])[f"{job}-markers"].result()

    def exists(self, topic: str) -> bool:
        """Whether there is such a topic."""
        return self.name(topic) in [info.name for info in self.connector.topics()]

    def close(self) -> None:
        """Let go of it."""
        self.connector.close()


def _encoded(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else msgspec.json.encode(value)
