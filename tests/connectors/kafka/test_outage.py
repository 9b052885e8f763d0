"""Brokers that go away and come back, on a private broker."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from rayflow.connectors.base import Publisher
from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from tests.kafka.broker import Broker, free_ports

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own_kafka")]

TASK = SinkTask("out", 0)
COUNT = 5_000


@pytest.fixture
def job() -> str:
    return f"job-{uuid.uuid4().hex[:12]}"


def epoch(topic: str, number: int) -> list[EncodedBatch]:
    values: list[bytes | None] = [b"%d-%d" % (number, n) for n in range(COUNT)]
    return [EncodedBatch(topic, [b"k"] * COUNT, values, [1] * COUNT)]


def advance(steps: Iterator[str], name: str, times: int = 1) -> None:
    """Take steps until one of that name has been yielded so often."""
    end = time.monotonic() + 120
    for step in steps:
        times -= step == name
        if times == 0:
            return
        assert time.monotonic() < end
    raise AssertionError(f"no step {name}")


def hold_out(publisher: Publisher, steps: Iterator[str], seconds: float) -> None:
    """Take steps for so many seconds of an outage: all the publisher may do is wait."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert next(steps) != "committed"
    advance(steps, "waiting")
    assert publisher.outage


@pytest.mark.parametrize("step", ["begun", "produced", "marked", "committing"])
def test_a_broker_that_is_restarted_while_an_epoch_is_published_gets_it_once(
    own_kafka: Broker, job: str, step: str
) -> None:
    topic = own_kafka.create()
    connector = KafkaConnector(own_kafka.url, {}, {})
    publisher = connector.publisher(job, 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: epoch(topic, 1)}, {TopicPartition(topic, 0): 0}))
    own_kafka.settle(topic, job, f"{job}-markers")
    steps = publisher.publish(Marker("l", 2), {TASK: epoch(topic, 2)}, {TopicPartition(topic, 0): 1})
    advance(steps, step)
    own_kafka.kill() if step == "produced" else own_kafka.stop()
    hold_out(publisher, steps, 1)
    own_kafka.start()
    assert list(steps)[-1] == "committed"
    assert publisher.outage is None
    list(publisher.publish(Marker("l", 3), {TASK: epoch(topic, 3)}, {}))
    publisher.close()
    connector.close()
    assert own_kafka.values(topic) == [value for n in (1, 2, 3) for batch in epoch(topic, n) for value in batch.values]
    assert not own_kafka.open_transactions(topic)


@pytest.mark.parametrize("step", ["produced", "committing"])
def test_a_broker_that_is_away_for_longer_than_a_transaction_may_last_gets_the_epoch_once(
    own_kafka: Broker, job: str, step: str
) -> None:
    topic = own_kafka.create()
    connector = KafkaConnector(own_kafka.url, {"transaction.timeout.ms": "4000"}, {})
    publisher = connector.publisher(job, 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: epoch(topic, 1)}, {}))
    own_kafka.settle(topic, f"{job}-markers")
    steps = publisher.publish(Marker("l", 2), {TASK: epoch(topic, 2)}, {})
    advance(steps, step)
    own_kafka.stop()
    hold_out(publisher, steps, 8)
    own_kafka.start()
    assert list(steps)[-1] == "committed"
    publisher.close()
    connector.close()
    assert own_kafka.values(topic) == [value for n in (1, 2) for batch in epoch(topic, n) for value in batch.values]
    assert not own_kafka.open_transactions(topic)


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_commit_whose_answer_is_lost_takes_effect_once(own_kafka: Broker, job: str, after: int) -> None:
    """The broker hangs at several moments of a commit, until the publisher has given the producer up."""
    topic = own_kafka.create()
    connector = KafkaConnector(own_kafka.url, {"transaction.timeout.ms": "4000"}, {})
    publisher = connector.publisher(job, 0, "exactly_once")
    publisher.open([TASK])
    steps = publisher.publish(Marker("l", 1), {TASK: epoch(topic, 1)}, {})
    advance(steps, "committing", after)
    own_kafka.freeze()
    try:
        said = []
        end = time.monotonic() + 6
        while time.monotonic() < end and "committed" not in said:
            said.append(next(steps))
    finally:
        own_kafka.thaw()
    if "committed" not in said:
        assert list(steps)[-1] == "committed"
    list(publisher.publish(Marker("l", 2), {TASK: epoch(topic, 2)}, {}))
    publisher.close()
    connector.close()
    assert own_kafka.values(topic) == [value for n in (1, 2) for batch in epoch(topic, n) for value in batch.values]


def test_reading_goes_on_where_it_stood_when_the_broker_comes_back(own_kafka: Broker, job: str) -> None:
    topic = own_kafka.create()
    place = TopicPartition(topic, 0)
    own_kafka.produce(topic, [(b"k", b"%d" % n) for n in range(100)])
    connector = KafkaConnector(own_kafka.url, {}, {})
    reader = connector.reader(job)
    reader.assign({place: None})
    found: list[bytes] = []
    while len(found) < 100:
        found += [value for one in reader.poll(7, 0.1) for value in one.batch.values]
    own_kafka.stop()
    end = time.monotonic() + 60
    while reader.outage is None:
        assert [one for one in reader.poll(100, 0.05) if len(one.batch)] == []
        assert time.monotonic() < end
    with pytest.raises(BrokerUnavailable):
        reader.ends(0.5)
    own_kafka.start()
    while reader.outage is not None:  # nothing is written meanwhile: the outage must be seen to end all the same
        reader.poll(100, 0.05)
        assert time.monotonic() < end
    own_kafka.produce(topic, [(b"k", b"%d" % n) for n in range(100, 200)])
    while len(found) < 200:
        found += [value for one in reader.poll(7, 0.1) for value in one.batch.values]
        assert time.monotonic() < end
    assert found == [b"%d" % n for n in range(200)]
    reader.close()
    connector.close()


def test_records_written_at_least_once_arrive_when_the_broker_comes_back(own_kafka: Broker, job: str) -> None:
    topic = own_kafka.create()
    connector = KafkaConnector(own_kafka.url, {}, {})
    publisher = connector.publisher(job, 0, "at_least_once")
    publisher.open([TASK])
    own_kafka.stop()
    publisher.append(epoch(topic, 1))
    steps = publisher.flush()
    hold_out(publisher, steps, 1)
    own_kafka.start()
    list(steps)
    assert publisher.outage is None
    publisher.close()
    connector.close()
    assert set(own_kafka.values(topic)) == {value for batch in epoch(topic, 1) for value in batch.values}


def test_a_publisher_is_closed_in_seconds_while_the_broker_is_away(own_kafka: Broker, job: str) -> None:
    topic = own_kafka.create()
    connector = KafkaConnector(own_kafka.url, {}, {})
    publisher = connector.publisher(job, 0, "exactly_once")
    publisher.open([TASK])
    steps = publisher.publish(Marker("l", 1), {TASK: epoch(topic, 1)}, {})
    advance(steps, "produced")
    own_kafka.stop()
    advance(steps, "waiting")
    publisher.close()
    own_kafka.start()
    publisher = connector.publisher(job, 0, "exactly_once")
    assert publisher.open([TASK]) == {TASK: None}
    assert own_kafka.values(topic) == []
    publisher.close()
    connector.close()


def test_a_broker_that_is_not_there_is_unavailable_within_a_bounded_time() -> None:
    url = f"kafka://127.0.0.1:{free_ports(1)[0]}"
    connector = KafkaConnector(url, {}, {})
    with pytest.raises(BrokerUnavailable):
        connector.check(0.5)
    with pytest.raises(BrokerUnavailable):
        connector.reader("g").assign({TopicPartition("t", 0): None})
