"""What a test says to a broker: create topics, write, read and look, by plain confluent-kafka (not by rayflow)."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]

USER, PASSWORD = "rayflow", "rayflow-secret"
"""The one SCRAM user of the brokers that tests start."""

QUIET = {"log_level": 0}
"""Settings that keep librdkafka from writing to standard error while a test has the broker stopped."""

LEADERLESS = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
)
"""What an answer says while a partition's leader is not known, or not the one that was."""


def until(done: Callable[[], Any], seconds: float = 60.0, pause: float = 0.02) -> Any:
    """Call `done` until it gives something true, and return that; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not (found := done()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(pause)
    return found


class Kafka:
    """A running broker.

    Attributes:
        bootstrap: "host:port" of the plain listener. sasl: the same of the SCRAM-SHA-256 one, or None.
    """

    def __init__(self, bootstrap: str, sasl: str | None = None) -> None:
        self.bootstrap = bootstrap
        self.sasl = sasl
        self._looking = threading.Lock()
        self._readers: dict[bool, Consumer] = {}

    @property
    def url(self) -> str:
        """What a job is given: `kafka://host:port`."""
        return f"kafka://{self.bootstrap}"

    @cached_property
    def admin(self) -> AdminClient:
        """A plain AdminClient."""
        return AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})

    def create(self, topic: str | None = None, partitions: int = 1, **config: str) -> str:
        """Create a topic (default: of a fresh name; settings by name with _ for .) and give its name."""
        topic = topic or f"t-{uuid.uuid4().hex[:12]}"
        settings = {name.replace("_", "."): value for name, value in config.items()}
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result(30)
        return topic

    def produce(self, topic: str, records: Iterable[tuple[Any, ...]], transaction: str | None = None) -> None:
        """Write records `(key, value[, timestamp[, partition]])` plainly.

        With `transaction` "commit" or "abort" they are one transaction that ends so, and readers get past it on return.
        """
        settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "linger.ms": 1, **QUIET}
        if transaction:
            settings["transactional.id"] = f"test-{uuid.uuid4().hex}"
        producer = Producer(settings)
        if transaction:
            producer.init_transactions(30)
            producer.begin_transaction()
        for record in records:
            key, value, timestamp, partition = (*record, None, None)[:4]
            producer.produce(topic, value, key, -1 if partition is None else partition, timestamp=timestamp or 0)
            producer.poll(0)
        assert producer.flush(30) == 0
        if transaction == "commit":
            producer.commit_transaction(30)
        elif transaction == "abort":
            producer.abort_transaction(30)
        if transaction:
            self.settle(topic)

    def ends(self, topic: str, committed: bool = True) -> list[int]:
        """Per partition the last stable offset (where committed readers stop), or else the high watermark."""
        places = [TopicPartition(topic, p) for p in range(self.partitions(topic))]
        return until(partial(self.look_up_ends, places, committed=committed), 30) if places else []

    def look_up_ends(self, places: Sequence[TopicPartition], *, committed: bool) -> list[int] | None:
        """The ends of partitions, as for `ends`; None while the leader of one is not known. Raises KafkaException.

        By a consumer: librdkafka 2.16 may crash when an AdminClient asks for offsets of a partition without a leader.
        """
        latest = [TopicPartition(place.topic, place.partition, OFFSET_END) for place in places]
        with self._looking:
            consumer = self._readers.pop(committed, None) or self._reader(committed)
            try:
                answers = consumer.offsets_for_times(latest, timeout=10)
                errors = [answer.error for answer in answers if answer.error is not None]
            except KafkaException as failure:
                errors = [failure.args[0]]
            if not errors:  # one that has failed may remember too long what it was told
                self._readers[committed] = consumer
        if any(error.code() not in LEADERLESS for error in errors):
            raise KafkaException(errors[0])
        return None if errors else [answer.offset for answer in answers]

    def _reader(self, committed: bool) -> Consumer:
        isolation = "read_committed" if committed else "read_uncommitted"
        settings = {"bootstrap.servers": self.bootstrap, "group.id": "test-ends", "isolation.level": isolation}
        return Consumer({**settings, **QUIET})

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(self.admin.list_topics(topic, timeout=30).topics[topic].partitions)

    def open_transactions(self, topic: str) -> bool:
        """Whether something of a transaction that has not ended lies in the topic."""
        return self.ends(topic) != self.ends(topic, committed=False)

    def settle(self, topic: str, *groups: str) -> None:
        """Wait until the broker has written all that ends the transactions it has acknowledged.

        It does so after it has answered. A node that is alone (Kafka 4.3.1) and stopped before that may forget it: it
        takes topics that it has not loaded yet for deleted ones. Then offsets of it stay undecided for ever.
        """
        until(lambda: not self.open_transactions(topic))
        for group in groups:
            until(partial(self.decided, group))

    def decided(self, group: str, seconds: float = 1.0) -> bool:
        """Whether no offset of a group belongs to a transaction under way; waits so long for its end.

        By a consumer: librdkafka 2.16 may lose, or crash on, an AdminClient's question when the broker was away.
        """
        topics = self.admin.list_topics(timeout=10).topics
        places = [TopicPartition(topic, p) for topic, known in topics.items() for p in known.partitions]
        settings = {"bootstrap.servers": self.bootstrap, "group.id": group, "isolation.level": "read_committed"}
        consumer = Consumer({**settings, **QUIET})
        try:
            return all(place.error is None for place in consumer.committed(places, timeout=seconds))
        except KafkaException:
            return False
        finally:
            consumer.close()

    def read(self, topic: str, seconds: float = 30.0) -> list[Message]:
        """All committed records, partition after partition, as confluent-kafka's messages.

        Waits for transactions under way: a broker answers a commit some milliseconds before readers see it.
        """
        until(lambda: not self.open_transactions(topic))
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "test-reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                **QUIET,
            }
        )
        places = [TopicPartition(topic, p, 0) for p in range(self.partitions(topic))]
        consumer.assign(places)
        messages: list[Message] = []
        ended: set[int | None] = set()
        limit = time.monotonic() + seconds
        try:
            while len(ended) < len(places):
                if time.monotonic() > limit:
                    raise TimeoutError(f"{topic} could not be read within {seconds} s")
                for message in consumer.consume(10_000, 0.2):
                    if message.error() is None:
                        messages.append(message)
                    else:
                        ended.add(message.partition())
        finally:
            consumer.close()
        return sorted(messages, key=lambda message: (message.partition(), message.offset()))

    def values(self, topic: str) -> list[Any]:
        """The values of all committed records."""
        return [message.value() for message in self.read(topic)]

    def group_offsets(self, group: str) -> dict[tuple[str, int], tuple[int, str]]:
        """What a group has committed: (topic, partition) to (offset, metadata)."""
        asked = [ConsumerGroupTopicPartitions(group)]
        answer = self.admin.list_consumer_group_offsets(asked, require_stable=True)[group].result(30)
        return {(p.topic, p.partition): (p.offset, p.metadata) for p in answer.topic_partitions}

    def set_offset(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Commit an offset as a tool would."""
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, offset)])
        self.admin.alter_consumer_group_offsets([wanted])[group].result(30)

    def grow(self, topic: str, partitions: int) -> None:
        """Have so many partitions from now on."""
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)

    def answers(self) -> bool:
        """Whether the broker serves clients now."""
        try:
            brokers: Sequence[Any] = list(self.admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False
        return len(brokers) > 0
