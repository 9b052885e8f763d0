"""Publishing to Kafka: what shows in the broker, and what it refuses."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.base import Publisher
from rayflow.connectors.kafka.admin import KafkaAdmin
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.connectors.kafka.markers import marker_topic
from rayflow.connectors.kafka.publisher import ExactlyOncePublisher
from rayflow.connectors.kafka.settling import await_readers
from rayflow.connectors.kafka.transactional_producer import TransactionalProducer
from rayflow.connectors.steps import MARKED
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import (
    BrokerRefused,
    BrokerUnavailable,
    InvariantBroken,
    RecordTooLarge,
    TransactionTooShort,
    UnknownTopic,
)
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from tests.kafka.client import Kafka, until

TASK = SinkTask("out", 0)


@pytest.fixture
def connector(kafka: Kafka) -> Iterator[KafkaConnector]:
    made = KafkaConnector(kafka.url, {}, {})
    yield made
    made.close()


@pytest.fixture
def job() -> str:
    return f"job-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def publisher(connector: KafkaConnector, job: str) -> Iterator[Publisher]:
    made = connector.publisher(job, 0, "exactly_once")
    yield made
    made.close()


def one(topic: str, value: bytes, **more: int) -> EncodedBatch:
    return EncodedBatch(topic, [b"k"], [value], [1], **more)  # type: ignore[arg-type]


def test_markers_and_positions_show_as_offsets_of_two_groups(kafka: Kafka, publisher: Publisher, job: str) -> None:
    source, topic, other = kafka.create(partitions=2), kafka.create(), SinkTask("to other.topic", 3)
    publisher.open([TASK, other])
    positions = {TopicPartition(source, 0): 0, TopicPartition(source, 1): 0}
    list(publisher.publish(Marker("a lineage", 5), {TASK: [one(topic, b"v")], other: []}, positions))
    metadata = '{"lineage": "a lineage", "epoch": 5}'
    markers = {
        (marker_topic(job, "out"), 0): (5, metadata),
        (marker_topic(job, "to other.topic"), 3): (5, metadata),
    }
    until(lambda: kafka.group_offsets(f"{job}-markers") == markers)
    until(lambda: kafka.group_offsets(job) == {(source, 0): (0, "5"), (source, 1): (0, "5")})
    assert kafka.ends(marker_topic(job, "to other.topic")) == [0, 0, 0, 0]
    assert kafka.values(topic) == [b"v"]


def test_a_sink_task_that_was_not_opened_here_is_given_its_place_when_it_publishes(
    kafka: Kafka, connector: KafkaConnector, publisher: Publisher, job: str
) -> None:
    topic, moved = kafka.create(), SinkTask("out", 5)
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: [one(topic, b"a")], moved: [one(topic, b"b")]}, {}))
    second = connector.publisher(job, 1, "exactly_once")
    assert second.open([moved]) == {moved: Marker("l", 1)}
    second.close()


def test_a_publisher_does_not_open_on_a_marker_that_another_ones_transaction_may_still_change(
    kafka: Kafka, publisher: Publisher, job: str
) -> None:
    """Each publisher fences its own slot only. A marker that is read too early would have an epoch published twice."""
    topic = kafka.create()
    publisher.open([TASK])
    steps = publisher.publish(Marker("l", 1), {TASK: [one(topic, b"a")]}, {})
    while next(steps) != MARKED:
        pass
    impatient = KafkaConnector(kafka.url, {"transaction.timeout.ms": "1500"}, {})
    second = impatient.publisher(job, 1, "exactly_once")
    with pytest.raises(BrokerUnavailable):
        second.open([TASK])
    for _ in steps:
        pass
    assert second.open([TASK]) == {TASK: Marker("l", 1)}
    second.close()
    impatient.close()


def test_an_epoch_that_a_transaction_is_too_short_for_is_refused_and_published_by_a_run_with_longer_ones(
    kafka: Kafka, job: str
) -> None:
    topic = kafka.create()
    # One record a request, one request at a time: many records are slow to send, and the broker takes them all along.
    slow = {"batch.num.messages": "1", "max.in.flight.requests.per.connection": "1", "linger.ms": "0"}
    values: list[bytes | None] = [b"%d" % n for n in range(30_000)]
    epoch = [EncodedBatch(topic, [b"k"] * len(values), values, [1] * len(values))]
    short = KafkaConnector(kafka.url, {**slow, "transaction.timeout.ms": "1000"}, {})
    publisher = short.publisher(job, 0, "exactly_once")
    publisher.open([TASK])
    with pytest.raises(TransactionTooShort, match=r"transaction\.timeout\.ms"):
        list(publisher.publish(Marker("l", 1), {TASK: epoch}, {}))
    publisher.close()
    short.close()
    assert not kafka.open_transactions(topic)
    longer = KafkaConnector(kafka.url, slow, {})
    publisher = longer.publisher(job, 0, "exactly_once")
    assert publisher.open([TASK]) == {TASK: None}
    list(publisher.publish(Marker("l", 1), {TASK: epoch}, {}))
    publisher.close()
    longer.close()
    assert kafka.values(topic) == values


def test_an_epoch_that_takes_most_of_a_transactions_time_is_published_at_once(kafka: Kafka, job: str) -> None:
    """A transaction that is older than half of its timeout is gone on with while records go out."""
    topic, begun = kafka.create(), 0
    slow = {"batch.num.messages": "1", "max.in.flight.requests.per.connection": "1", "linger.ms": "0"}
    connector = KafkaConnector(kafka.url, {**slow, "transaction.timeout.ms": "20000"}, {})
    publisher = connector.publisher(job, 0, "exactly_once")
    assert isinstance(publisher, ExactlyOncePublisher)
    publisher.open([TASK])
    began: list[float] = []

    def age(producer: TransactionalProducer) -> float:
        """As if half of the time were over when the first record is sent."""
        began[:] = began or [time.monotonic()]
        return 10.0 + (time.monotonic() - began[0]) / 10

    values: list[bytes | None] = [b"%d" % n for n in range(5_000)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionalProducer, "age", property(age))
        for step in publisher.publish(
            Marker("l", 1), {TASK: [EncodedBatch(topic, values, values, [1] * len(values))]}, {}
        ):
            begun += step == "begun"
    publisher.close()
    connector.close()
    assert begun == 1
    assert kafka.values(topic) == values


@pytest.mark.parametrize("size", [5_000, 5_000_000], ids=["refused by the broker", "refused by the producer"])
def test_after_a_record_that_is_too_large_the_publisher_can_be_opened_again(
    kafka: Kafka, publisher: Publisher, size: int
) -> None:
    topic, good = kafka.create(max_message_bytes="1000"), kafka.create()
    publisher.open([TASK])
    with pytest.raises(RecordTooLarge) as refused:
        list(publisher.publish(Marker("l", 1), {TASK: [one(good, b"v"), one(topic, bytes(size)), one(good, b"w")]}, {}))
    assert refused.value.topic == topic
    with pytest.raises(InvariantBroken):
        list(publisher.publish(Marker("l", 1), {TASK: []}, {}))
    assert kafka.values(good) == kafka.values(topic) == []
    assert not kafka.open_transactions(good)
    assert publisher.open([TASK]) == {TASK: None}
    list(publisher.publish(Marker("l", 1), {TASK: [one(good, b"v"), one(topic, b"small")]}, {}))
    assert (kafka.values(good), kafka.values(topic)) == ([b"v"], [b"small"])


def test_a_partition_that_does_not_exist_leaves_nothing_visible(kafka: Kafka, publisher: Publisher) -> None:
    topic = kafka.create()
    publisher.open([TASK])
    with pytest.raises(UnknownTopic) as refused:
        list(publisher.publish(Marker("l", 1), {TASK: [one(topic, b"v"), one(topic, b"w", partition=9)]}, {}))
    assert refused.value.topic == topic
    assert kafka.values(topic) == []


def test_a_record_from_too_far_ahead_is_refused_with_the_reason(kafka: Kafka, publisher: Publisher) -> None:
    topic = kafka.create()
    publisher.open([TASK])
    with pytest.raises(BrokerRefused, match="hour ahead"):
        list(publisher.publish(Marker("l", 1), {TASK: [EncodedBatch(topic, [b"k"], [b"v"], [9_000_000_000_000])]}, {}))
    assert kafka.values(topic) == []


def test_a_topic_deleted_between_two_epochs_is_an_unknown_topic(
    kafka: Kafka, connector: KafkaConnector, publisher: Publisher
) -> None:
    topic, stays = kafka.create(), kafka.create()
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: [one(topic, b"v"), one(stays, b"v")]}, {}))
    connector.delete(topic)
    with pytest.raises(UnknownTopic):
        list(publisher.publish(Marker("l", 2), {TASK: [one(stays, b"w"), one(topic, b"w")]}, {}))
    assert kafka.values(stays) == [b"v"]
    assert publisher.open([TASK]) == {TASK: Marker("l", 1)}


def test_a_topic_deleted_while_its_epoch_goes_out_is_looked_for_again(
    kafka: Kafka, connector: KafkaConnector, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer waits in silence for such a topic; whoever asks for it is told."""
    topic = kafka.create()
    asked: list[str] = []
    partitions = KafkaAdmin.partitions

    def noted(admin: KafkaAdmin, name: str) -> int:
        asked.append(name)
        return partitions(admin, name)

    monkeypatch.setattr(KafkaAdmin, "partitions", noted)
    publisher.open([TASK])
    steps = publisher.publish(Marker("l", 1), {TASK: [one(topic, b"v")]}, {})
    while next(steps) != "begun":
        pass
    connector.delete(topic)
    with pytest.raises(UnknownTopic):
        list(steps)
    assert asked.count(topic) > 1


def test_an_offset_that_someone_else_set_is_no_marker(kafka: Kafka, publisher: Publisher, job: str) -> None:
    topic = kafka.create()
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: [one(topic, b"v")]}, {}))
    kafka.settle(topic, f"{job}-markers")
    kafka.set_offset(f"{job}-markers", marker_topic(job, "out"), 0, 7)
    assert publisher.open([TASK]) == {TASK: None}


def test_an_epoch_larger_than_the_producers_queue_is_published_whole_and_in_order(kafka: Kafka, job: str) -> None:
    topic, count = kafka.create(), 30_000
    connector = KafkaConnector(kafka.url, {"queue.buffering.max.messages": "1000"}, {})
    publisher = connector.publisher(job, 0, "exactly_once")
    publisher.open([TASK])
    values: list[bytes | None] = [b"%d" % n for n in range(count)]
    list(publisher.publish(Marker("l", 1), {TASK: [EncodedBatch(topic, [b"k"] * count, values, [1] * count)]}, {}))
    publisher.close()
    connector.close()
    assert kafka.values(topic) == values


def test_each_delivery_mode_refuses_what_belongs_to_the_other(connector: KafkaConnector, job: str) -> None:
    exactly, at_least = connector.publisher(job, 0, "exactly_once"), connector.publisher(job, 0, "at_least_once")
    with pytest.raises(InvariantBroken):
        exactly.append([])
    with pytest.raises(InvariantBroken):
        list(exactly.flush())
    with pytest.raises(InvariantBroken):
        list(exactly.publish(Marker("l", 1), {}, {}))
    with pytest.raises(InvariantBroken):
        at_least.append([])
    with pytest.raises(InvariantBroken):
        at_least.publish(Marker("l", 1), {}, {})
    exactly.close()
    at_least.close()


def test_what_is_appended_at_least_once_and_refused_is_raised_by_the_flush(
    kafka: Kafka, connector: KafkaConnector, job: str
) -> None:
    topic = kafka.create(max_message_bytes="1000")
    publisher = connector.publisher(job, 0, "at_least_once")
    assert publisher.open([TASK]) == {TASK: None}
    publisher.append([one(topic, b"v"), one(topic, bytes(5_000))])
    with pytest.raises(RecordTooLarge):
        list(publisher.flush())
    publisher.close()


def test_once_the_publisher_has_settled_readers_get_past_its_last_epoch(
    kafka: Kafka, publisher: Publisher, job: str
) -> None:
    topic = kafka.create(partitions=12)
    publisher.open([TASK])
    for epoch in range(1, 21):
        batches = [one(topic, b"v", partition=partition) for partition in range(12)]
        list(publisher.publish(Marker("l", epoch), {TASK: batches}, {}))
        publisher.settle()
        assert not kafka.open_transactions(topic)


def test_settling_does_not_wait_for_ever_for_another_writers_transaction(kafka: Kafka) -> None:
    topic = kafka.create()
    other = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic})
    other.init_transactions(30)
    other.begin_transaction()
    other.produce(topic, b"v")
    other.flush(30)
    settings = KafkaSettings(kafka.bootstrap)
    admin = KafkaAdmin(settings)
    await_readers(settings, admin, topic, {topic}, 0.2)
    assert kafka.open_transactions(topic)
    other.abort_transaction(30)
    await_readers(settings, admin, topic, {topic}, 30)
    assert not kafka.open_transactions(topic)


def test_settling_gives_up_on_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayflow.connectors.kafka.admin.CONNECT_TIMEOUT", 0.1)
    settings = KafkaSettings("127.0.0.1:1")
    await_readers(settings, KafkaAdmin(settings), "job", {"t"}, 3_600)


def test_a_job_asks_for_no_topic_but_its_own(
    connector: KafkaConnector, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    committed = Consumer.committed

    class Watched(Consumer):
        def committed(self, places: list[Place], **more: float) -> list[Place]:
            asked.update(place.topic for place in places)
            return committed(self, places, **more)

    monkeypatch.setattr("rayflow.connectors.kafka.markers.Consumer", Watched)
    publisher = connector.publisher(job, 0, "exactly_once")
    publisher.open([TASK])
    publisher.close()
    assert asked == {marker_topic(job, "out")}
