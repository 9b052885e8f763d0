"""The input: JSON orders of 10,000 users in a topic of 4 partitions, the same for every contender and every machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

PARTITIONS = 4
USERS, ITEMS = 10_000, 1_000
BEGIN = 1_700_000_000_000
SEED = 7


class Order(msgspec.Struct, gc=False):
    """An order as it was read back: the value's fields, and its record's timestamp."""

    user: str
    item: str
    price: float
    qty: int
    ts: int


def orders(count: int, users: int = USERS, items: int = ITEMS) -> Iterator[tuple[bytes, bytes, int]]:
    """Key, value and timestamp of each record, 1 ms apart.

    >>> next(orders(1))
    (b'u05306', b'{"id":0,"user":"u05306","item":"i0154","price":67.46,"qty":1,"ts":1700000000000}', 1700000000000)
    """
    chance = random.Random(SEED)
    for number in range(count):
        user = f"u{chance.randrange(users):05d}"
        item = f"i{chance.randrange(items):04d}"
        price = chance.randrange(100, 10_000) / 100
        ts = BEGIN + number
        qty = chance.randrange(1, 5)
        value = f'{{"id":{number},"user":"{user}","item":"{item}","price":{price},"qty":{qty},"ts":{ts}}}'
        yield user.encode(), value.encode(), ts


class Topics:
    """Makes, fills, reads and deletes topics of one broker, by plain confluent-kafka."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self._admin = AdminClient({"bootstrap.servers": broker, "log_level": 0})

    def create(self, topic: str, partitions: int = PARTITIONS, **config: str) -> None:
        """A topic that keeps its records, old as they are. `config`: its other settings, with underscores for dots."""
        wanted = NewTopic(
            topic,
            partitions,
            1,
            config={"retention.ms": "-1", **{name.replace("_", "."): value for name, value in config.items()}},
        )
        self._admin.create_topics([wanted])[topic].result(30)

    def delete_with(self, part: str) -> None:
        """Delete every topic that has `part` in its name: an output, and what an engine has made for itself."""
        topics = [topic for topic in self._admin.list_topics(timeout=30).topics if part in topic]
        for deleted in self._admin.delete_topics(topics).values() if topics else ():
            deleted.result(30)

    def fill(self, topic: str, count: int, told: Callable[[int], None]) -> None:
        """Have `count` orders in `topic`, unless they are there. Raises RuntimeError for a topic with others."""
        if topic in self._admin.list_topics(timeout=30).topics:
            held = self.size(topic)
            if held != count:
                raise RuntimeError(f"topic {topic} holds {held} records, not {count}: delete it")
            told(count)
            return
        self.create(topic)
        self.append(topic, orders(count), told)

    def append(
        self, topic: str, records: Iterable[tuple[bytes, bytes, int]], told: Callable[[int], None] | None = None
    ) -> None:
        """Append keys, values and timestamps; `told` hears now and then how many. Raises RuntimeError when some could
        not be written."""
        producer = Producer(
            {
                "bootstrap.servers": self.broker,
                "partitioner": "murmur2_random",
                "log_level": 0,
                "enable.idempotence": True,  # without it, retries change the order
                "linger.ms": 20,
                "batch.size": 1 << 20,
                "queue.buffering.max.messages": 200_000,
            }
        )
        number = 0
        for number, (key, value, ts) in enumerate(records, 1):
            while True:
                try:
                    producer.produce(topic, value, key, timestamp=ts)
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % 10_000 == 0:
                producer.poll(0)
                if told is not None:
                    told(number)
        if producer.flush(120):
            raise RuntimeError(f"topic {topic} could not be filled")
        if told is not None:
            told(number)

    def size(self, topic: str) -> int:
        """Offsets from the beginnings to the ends, together."""
        consumer = self._consumer()
        try:
            places = [
                TopicPartition(topic, p) for p in consumer.list_topics(topic, timeout=30).topics[topic].partitions
            ]
            return sum(high - low for low, high in (consumer.get_watermark_offsets(place, 30) for place in places))
        finally:
            consumer.close()

    def read(self, topic: str, seconds: float = 120.0) -> Iterator[Message]:
        """All committed records, in order within a partition. Raises TimeoutError.

        A commit that was answered may take a moment to let readers past it, so each partition is read to the end that
        those see who read what is not committed.
        """
        consumer = self._consumer()
        limit = time.monotonic() + seconds
        try:
            left = self._ends(topic)
            consumer.assign([TopicPartition(topic, p, 0) for p in left])
            while left:
                if time.monotonic() > limit:
                    raise TimeoutError(f"{topic} could not be read within {seconds:g} s")
                for message in consumer.consume(10_000, 0.2):
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        partition, at = message.partition(), message.offset()
                        if at >= left.get(partition, at + 1):  # type: ignore[operator, arg-type]
                            del left[partition]  # type: ignore[arg-type]
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()

    def _ends(self, topic: str) -> dict[int, int]:
        """Where each partition ends, transactions that are open or being ended included."""
        consumer = self._consumer(isolation="read_uncommitted")
        try:
            partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 30)[1] for p in partitions}
        finally:
            consumer.close()

    def _consumer(self, isolation: str = "read_committed") -> Consumer:
        settings: dict[str, Any] = {
            "bootstrap.servers": self.broker,
            "log_level": 0,
            "group.id": "benchmarks",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        return Consumer(settings)
