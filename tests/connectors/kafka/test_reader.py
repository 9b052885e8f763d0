"""Reading from Kafka: what transactions leave in a log, and what a broker loses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.base import Polled, Reader
from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.connectors.kafka.outbox import SLICE
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerRefused, RecordTooLarge, SourceDataLost, UnknownTopic
from rayflow.core.ids import TopicPartition
from tests.kafka.client import Kafka, until


@pytest.fixture
def connector(kafka: Kafka) -> Iterator[KafkaConnector]:
    made = KafkaConnector(kafka.url, {}, {})
    yield made
    made.close()


@pytest.fixture
def reader(connector: KafkaConnector) -> Iterator[Reader]:
    made = connector.reader("readers")
    yield made
    made.close()


def read_until(reader: Reader, position: int, place: TopicPartition) -> list[Polled]:
    """Poll until the place's position is reached."""
    polled: list[Polled] = []
    end = time.monotonic() + 30
    while not any(TopicPartition(*one.batch.origin) == place and one.next_position >= position for one in polled):
        polled += reader.poll(1_000, 0.1)
        assert time.monotonic() < end, f"{position} not reached: {[one.next_position for one in polled]}"
    return polled


def values(polled: list[Polled]) -> list[bytes]:
    return [value for one in polled for value in one.batch.values]


def test_aborted_records_are_passed_over_and_the_position_goes_past_them(kafka: Kafka, reader: Reader) -> None:
    topic = kafka.create()
    kafka.produce(topic, [(b"k", b"a%d" % n) for n in range(3)], "commit")
    kafka.produce(topic, [(b"k", b"x%d" % n) for n in range(50)], "abort")
    kafka.produce(topic, [(b"k", b"b%d" % n) for n in range(3)], "commit")
    place = TopicPartition(topic, 0)
    reader.assign({place: 0})
    assert reader.ends() == {place: 59}
    polled = read_until(reader, 59, place)
    assert values(polled) == [b"a0", b"a1", b"a2", b"b0", b"b1", b"b2"]
    assert [offset for one in polled for offset in one.batch.offsets] == [0, 1, 2, 55, 56, 57]


def test_a_topic_of_nothing_but_aborted_records_is_read_to_its_end(kafka: Kafka, reader: Reader) -> None:
    topic = kafka.create()
    kafka.produce(topic, [(b"k", b"x")] * 5, "abort")
    place = TopicPartition(topic, 0)
    reader.assign({place: None})
    assert reader.ends() == {place: 6}
    polled = read_until(reader, 6, place)
    assert values(polled) == []
    assert reader.poll(10, 0.1) == []


def test_an_open_transaction_holds_the_end_back_until_it_is_over(kafka: Kafka, reader: Reader) -> None:
    topic = kafka.create()
    kafka.produce(topic, [(b"k", b"a")])
    place = TopicPartition(topic, 0)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"open-{topic}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"t", b"k")
    producer.flush(30)
    kafka.produce(topic, [(b"k", b"b")])
    reader.assign({place: None})
    assert reader.ends() == {place: 1}
    assert values(read_until(reader, 1, place)) == [b"a"]
    producer.commit_transaction(30)
    kafka.settle(topic)
    assert reader.ends() == {place: 4}
    assert values(read_until(reader, 4, place)) == [b"t", b"b"]


def test_a_position_behind_a_control_record_can_be_assigned_again(kafka: Kafka, reader: Reader) -> None:
    topic = kafka.create()
    place = TopicPartition(topic, 0)
    kafka.produce(topic, [(b"k", b"a")], "commit")
    reader.assign({place: None})
    position = read_until(reader, reader.ends()[place], place)[-1].next_position
    assert position == 2
    reader.assign({place: position})
    kafka.produce(topic, [(b"k", b"b")], "commit")
    assert values(read_until(reader, 4, place)) == [b"b"]


def test_records_of_several_topics_and_partitions_come_apart(kafka: Kafka, reader: Reader) -> None:
    one, two = kafka.create(partitions=2), kafka.create()
    kafka.produce(one, [(b"k", b"%d" % n, 1, n % 2) for n in range(1_000)])
    kafka.produce(two, [(b"k", b"%d" % n, 1, 0) for n in range(500)])
    places = [TopicPartition(one, 0), TopicPartition(one, 1), TopicPartition(two, 0)]
    reader.assign(dict.fromkeys(places))
    found: dict[TopicPartition, list[int]] = {place: [] for place in places}
    end = time.monotonic() + 30
    while sum(map(len, found.values())) < 1_500:
        assert time.monotonic() < end
        for polled in reader.poll(700, 0.1):
            found[TopicPartition(*polled.batch.origin)] += map(int, polled.batch.values)
    assert found == {
        places[0]: list(range(0, 1_000, 2)),
        places[1]: list(range(1, 1_000, 2)),
        places[2]: list(range(500)),
    }


def test_a_record_that_arrives_alone_is_not_held_back_until_a_batch_is_full(kafka: Kafka, reader: Reader) -> None:
    topic = kafka.create()
    place = TopicPartition(topic, 0)
    reader.assign({place: None})
    read_until(reader, 0, place)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(reader.poll, 10_000, 3_600.0)
        kafka.produce(topic, [(b"k", b"v")])
        done, _ = wait([waiting], 30)
        if not done:  # so that it ends, with a batch that is full
            kafka.produce(topic, [(b"k", b"v")] * 10_000)
        assert values(waiting.result()) == [b"v"]


def test_records_that_retention_removed_are_lost_data(kafka: Kafka, reader: Reader) -> None:
    topic = kafka.create()
    kafka.produce(topic, [(b"k", b"v")] * 10)
    kafka.admin.delete_records([Place(topic, 0, 6)])[Place(topic, 0, 6)].result(30)
    place = TopicPartition(topic, 0)
    with pytest.raises(SourceDataLost) as lost:
        reader.assign({place: 5})
    assert lost.value.where == {"topic": topic, "partition": 0, "offset": 5}
    reader.assign({place: 6})
    assert len(values(read_until(reader, 10, place))) == 4
    reader.assign({place: None})
    assert len(values(read_until(reader, 10, place))) == 4


def test_an_empty_topic_whose_records_were_removed_says_where_it_stands(kafka: Kafka, reader: Reader) -> None:
    topic = kafka.create()
    kafka.produce(topic, [(b"k", b"v")] * 10)
    kafka.admin.delete_records([Place(topic, 0, 10)])[Place(topic, 0, 10)].result(30)
    place = TopicPartition(topic, 0)
    reader.assign({place: None})
    assert reader.ends() == {place: 10}
    assert values(read_until(reader, 10, place)) == []


def test_a_topic_that_is_deleted_while_it_is_read_is_an_unknown_topic(
    kafka: Kafka, connector: KafkaConnector, reader: Reader
) -> None:
    topic = kafka.create()
    kafka.produce(topic, [(b"k", b"v")])
    reader.assign({TopicPartition(topic, 0): None})
    read_until(reader, 1, TopicPartition(topic, 0))
    connector.delete(topic)
    with pytest.raises(UnknownTopic) as unknown:
        until(lambda: reader.poll(10, 0.1) and False, 30)
    assert unknown.value.topic == topic


def test_partitions_that_are_added_while_reading_are_seen(
    kafka: Kafka, connector: KafkaConnector, reader: Reader
) -> None:
    topic = kafka.create()
    reader.assign({TopicPartition(topic, 0): None})
    assert connector.partitions(topic) == 1
    kafka.grow(topic, 3)
    until(lambda: connector.partitions(topic) == 3)
    kafka.produce(topic, [(b"k", b"v%d" % p, 1, p) for p in range(3)])
    reader.assign({TopicPartition(topic, p): None for p in range(3)})
    found: list[bytes] = []
    end = time.monotonic() + 30
    while len(found) < 3:
        found += values(reader.poll(10, 0.1))
        assert time.monotonic() < end
    assert sorted(found) == [b"v0", b"v1", b"v2"]


def test_positions_are_shown_with_their_epoch(kafka: Kafka, connector: KafkaConnector) -> None:
    topic = kafka.create()
    reader = connector.reader(f"job-{topic}")
    reader.assign({TopicPartition(topic, 0): None})
    reader.commit({}, 1)
    reader.commit({TopicPartition(topic, 0): 7}, 12)
    until(lambda: kafka.group_offsets(f"job-{topic}") == {(topic, 0): (7, "12")})
    reader.close()


def test_internal_topics_are_not_listed(kafka: Kafka, connector: KafkaConnector) -> None:
    topic = kafka.create()
    hidden = kafka.create(f"{topic}-rayflow-markers")
    kafka.produce(topic, [(b"k", b"v")], "commit")
    names = [info.name for info in connector.topics()]
    assert topic in names
    assert hidden not in names
    assert "__transaction_state" not in names


def test_the_check_names_the_brokers(kafka: Kafka, connector: KafkaConnector) -> None:
    assert connector.check().endswith(f"1 broker at {kafka.bootstrap}")


def test_what_a_broker_refuses_to_create_says_why(connector: KafkaConnector) -> None:
    with pytest.raises(BrokerRefused, match="eplication factor"):
        connector.create("three-replicas-on-one-broker", 1, 3)
    with pytest.raises(BrokerRefused, match=r"not a name"):
        connector.create("not a name", 1)


def test_an_appender_says_what_is_wrong_with_a_record(kafka: Kafka, connector: KafkaConnector) -> None:
    small = kafka.create(max_message_bytes="1000")
    for batch, expected in (
        (EncodedBatch(small, [b"k"], [bytes(5_000)], [1]), RecordTooLarge),
        (EncodedBatch(small, [b"k"], [bytes(5_000_000)], [1]), RecordTooLarge),
        (EncodedBatch(small, [b"k"], [b"v"], [4_000_000_000_000]), BrokerRefused),
        (EncodedBatch(small, [b"k"], [b"v"], [1], None, 7), UnknownTopic),
        (EncodedBatch(f"{small}-none", [b"k"], [b"v"], [1]), UnknownTopic),
    ):
        appender = connector.appender()
        with pytest.raises(expected) as refused:  # noqa: PT012 - at once, or when the broker has answered
            appender.append(batch)
            appender.flush()
        assert refused.value.topic == batch.topic
    assert kafka.values(small) == []


def test_times_that_librdkafka_would_take_for_now_are_a_millisecond_off_instead(
    kafka: Kafka, connector: KafkaConnector
) -> None:
    topic = kafka.create()
    appender = connector.appender()
    appender.append(EncodedBatch(topic, [b"k"] * 3, [b"v"] * 3, [0, -5, 2]))
    appender.close()
    assert [message.timestamp()[1] for message in kafka.read(topic)] == [1, 1, 2]


def test_more_records_than_a_producers_queue_holds_all_arrive_in_order(kafka: Kafka) -> None:
    topic, count = kafka.create(), 3 * SLICE + 7
    connector = KafkaConnector(kafka.url, {"queue.buffering.max.messages": "500"}, {})
    appender = connector.appender()
    appender.append(EncodedBatch(topic, [b"k"] * count, [b"%d" % n for n in range(count)], [1] * count))
    appender.append(EncodedBatch(topic, [b"k"], [b"last"], [1]))
    appender.close()
    connector.close()
    assert kafka.values(topic) == [*(b"%d" % n for n in range(count)), b"last"]
