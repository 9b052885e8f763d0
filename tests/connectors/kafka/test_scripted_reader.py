"""What a reader makes of answers that a broker gives only now and then: a scripted consumer and clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.base import Polled
from rayflow.connectors.kafka import reader as reading
from rayflow.connectors.kafka.client import Contact
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.reader import KafkaReader
from rayflow.core.errors import (
    AuthenticationFailed,
    BrokerRefused,
    InvariantBroken,
    SourceDataLost,
    UnknownTopic,
)
from rayflow.core.ids import TopicPartition
from tests.connectors.kafka.clock import Clock

SETTINGS = KafkaSettings("127.0.0.1:1")
AWAY = KafkaError(KafkaError._TRANSPORT, "b/1: Connect failed")
ALL_AWAY = KafkaError(KafkaError._ALL_BROKERS_DOWN, "all down")
ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


def metadata(partitions: int, error: KafkaError | None = None) -> Any:
    return SimpleNamespace(
        topics=dict.fromkeys(("t", "u"), SimpleNamespace(error=error, partitions=dict.fromkeys(range(partitions))))
    )


def record(offset: int, partition: int = 0, stamp: int = 5, topic: str = "t") -> Message:
    return Message(
        topic=topic, partition=partition, offset=offset, key=b"k", value=b"%d" % offset, timestamp=(1, stamp)
    )


def event(code: int, offset: int = 0, partition: int | None = 0, **more: bool) -> Message:
    error = KafkaError(code, "what happened", *more.values())
    if partition is None:
        return Message(error=error, timestamp=(0, -1))
    return Message(topic="t", partition=partition, offset=offset, error=error, timestamp=(0, -1))


class ScriptedConsumer:
    """Gives prepared messages; each partition begins at 3 and ends at 9."""

    def __init__(self) -> None:
        self.messages: list[list[Message]] = []
        self.asked: list[tuple[int, float]] = []
        self.metadata: Any = metadata(2)
        self.listed: list[float] = []
        self.assigned: list[tuple[str, int, int]] | None = None
        self.committed: list[Any] = []
        self.closed = 0

    def unassign(self) -> None:
        self.assigned = None

    def assign(self, places: list[Place]) -> None:
        self.assigned = [(place.topic, place.partition, place.offset) for place in places]

    def consume(self, count: int, timeout: float) -> list[Message]:
        self.asked.append((count, timeout))
        return self.messages.pop(0) if self.messages else []

    def list_topics(self, topic: str, timeout: float) -> Any:
        self.listed.append(timeout)
        if isinstance(self.metadata, KafkaError):
            raise KafkaException(self.metadata)
        return self.metadata

    def offsets_for_times(self, places: list[Place], timeout: float) -> list[Any]:
        return [
            SimpleNamespace(topic=p.topic, partition=p.partition, offset=3 if p.offset == -2 else 9, error=None)
            for p in places
        ]

    def commit(self, offsets: list[Place], asynchronous: bool) -> None:
        self.committed.append(([(p.topic, p.partition, p.offset, p.metadata) for p in offsets], asynchronous))
        raise KafkaException(AWAY)

    def poll(self, timeout: float) -> None:
        return None

    def close(self) -> None:
        self.closed += 1


class Reading:
    """A reader on a scripted consumer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.consumer = ScriptedConsumer()
        self.clock = Clock()
        self.contact: Contact | None = None

        def make(kind: Any, settings: Any, contact: Contact) -> ScriptedConsumer:
            self.contact = contact
            return self.consumer

        monkeypatch.setattr(reading, "make", make)
        monkeypatch.setattr(reading, "time", self.clock)
        self.reader = KafkaReader(SETTINGS, "g")

    def poll(self, *messages: Message, at_once: int = 10, timeout: float = 0.0) -> list[tuple[int, list[int], int]]:
        """Partition, offsets and next position of each batch."""
        self.consumer.messages = [list(messages)]
        polled: list[Polled] = self.reader.poll(at_once, timeout)
        return [(one.batch.origin.partition, list(one.batch.offsets), one.next_position) for one in polled]

    def on_error(self, *errors: KafkaError) -> None:
        assert self.contact is not None
        for error in errors:
            self.contact.on_error(error)


@pytest.fixture
def it(monkeypatch: pytest.MonkeyPatch) -> Reading:
    it = Reading(monkeypatch)
    it.reader.assign({ZERO: 3, ONE: None})
    return it


def test_an_assignment_starts_at_its_positions(it: Reading) -> None:
    assert it.consumer.assigned == [("t", 0, 3), ("t", 1, OFFSET_BEGINNING)]
    assert it.reader.ends() == {ZERO: 9, ONE: 9}
    it.reader.assign({})
    assert it.consumer.assigned is None
    assert it.reader.ends() == {}
    it.clock.slept.clear()
    assert it.reader.poll(10, 0.5) == []
    assert it.clock.slept == [0.5]
    assert it.consumer.asked == []


@pytest.mark.parametrize(("position", "said"), [(2, "oldest record .* at 3"), (10, "ends at 9"), (-1, "oldest record")])
def test_a_position_outside_of_what_the_broker_has_is_lost(it: Reading, position: int, said: str) -> None:
    with pytest.raises(SourceDataLost, match=said) as lost:
        it.reader.assign({ZERO: 3, ONE: position})
    assert lost.value.where == {"topic": "t", "partition": 1, "offset": position}
    assert ("recreated" in str(lost.value)) == (position == 10)
    it.reader.assign({ZERO: 9})


def test_a_partition_or_topic_that_the_broker_does_not_have_is_unknown(it: Reading) -> None:
    with pytest.raises(UnknownTopic, match="has 2 partitions") as unknown:
        it.reader.assign({ZERO: None, TopicPartition("t", 2): None})
    assert unknown.value.partition == 2
    it.consumer.metadata = metadata(0, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(UnknownTopic) as unknown:
        it.reader.assign({ZERO: None})
    assert unknown.value.partition is None
    it.consumer.metadata = metadata(2, KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
    it.reader.assign({ZERO: None})


def test_a_poll_waits_for_the_first_record_only(it: Reading) -> None:
    assert it.poll(record(3)) == [(0, [3], 4)]
    assert it.consumer.asked == [(10, 0)]
    it.consumer.asked.clear()
    assert it.poll() == []
    assert it.consumer.asked == [(10, 0)]
    it.consumer.asked.clear()
    it.consumer.messages = [[], [record(4)], [record(5)]]
    (one,) = it.reader.poll(10, 0.5)
    assert list(one.batch.offsets) == [4, 5]
    assert it.consumer.asked == [(10, 0), (1, 0.5), (9, 0)]
    it.consumer.asked.clear()
    it.consumer.messages = [[], [record(6)]]
    assert len(it.reader.poll(1, 0.5)) == 1
    assert it.consumer.asked == [(1, 0), (1, 0.5)]
    it.consumer.asked.clear()
    it.consumer.messages = [[], [record(7)]]
    assert len(it.reader.poll(2, 0.5)) == 1
    assert it.consumer.asked == [(2, 0), (1, 0.5), (1, 0)]


def test_partitions_of_one_number_in_two_topics_are_read_apart(it: Reading) -> None:
    it.reader.assign({ZERO: 3, TopicPartition("u", 0): 3})
    it.consumer.messages = [[record(3), record(3, topic="u"), record(4, topic="u")]]
    polled = it.reader.poll(10, 0.0)
    assert [(one.batch.origin.topic, one.next_position) for one in polled] == [("t", 4), ("u", 5)]
    it.reader.assign({ZERO: 3, ONE: 3})
    assert it.poll(record(3), record(3, 1)) == [(0, [3], 4), (1, [3], 4)]


def test_a_paused_reader_asks_for_nothing(it: Reading) -> None:
    it.reader.pause()
    assert it.poll(record(3), timeout=0.5) == []
    assert it.clock.slept == [0.5]
    assert it.consumer.asked == []
    it.reader.resume()
    assert it.poll(record(3)) == [(0, [3], 4)]


def test_a_record_without_a_time_is_a_record(it: Reading) -> None:
    assert it.poll(record(3, stamp=-1), record(4)) == [(0, [3, 4], 5)]
    assert it.poll(record(5, stamp=-1), event(KafkaError._PARTITION_EOF, 6)) == [(0, [5], 6)]


def test_the_end_of_a_partition_moves_its_position_once(it: Reading) -> None:
    eof = KafkaError._PARTITION_EOF
    assert it.poll(record(3), record(1, 1), event(eof, 6), record(4)) == [(0, [3], 4), (1, [1], 2), (0, [4], 6)]
    assert it.poll(event(eof, 6)) == []
    assert it.poll(event(eof, 5)) == []
    assert it.poll(event(eof, 8), event(eof, 3, 1)) == [(0, [], 8), (1, [], 3)]
    assert it.poll(event(eof, 9, 7)) == []


def test_the_end_of_an_empty_partition_that_was_read_from_its_beginning_is_a_position(it: Reading) -> None:
    assert it.poll(event(KafkaError._PARTITION_EOF, 0, 1)) == [(1, [], 0)]
    assert it.poll(event(KafkaError._PARTITION_EOF, 3, 0)) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError.SASL_AUTHENTICATION_FAILED, AuthenticationFailed),
        (KafkaError._AUTO_OFFSET_RESET, SourceDataLost),
        (KafkaError._UNKNOWN_PARTITION, UnknownTopic),
        (KafkaError.POLICY_VIOLATION, BrokerRefused),
    ],
)
def test_an_error_that_waiting_does_not_correct_is_raised(it: Reading, code: int, expected: type[Exception]) -> None:
    it.poll(record(3))
    with pytest.raises(expected) as raised:
        it.poll(event(code, 0))
    if expected is SourceDataLost:
        assert raised.value.where == {"topic": "t", "partition": 0, "offset": 4}  # type: ignore[attr-defined]
    with pytest.raises(expected) as raised:
        it.poll(event(code, partition=None))
    assert raised.value.partition is None  # type: ignore[attr-defined]


def test_errors_that_waiting_corrects_make_an_outage_only(it: Reading) -> None:
    assert it.poll(event(KafkaError._TRANSPORT), event(KafkaError._ALL_BROKERS_DOWN, partition=None)) == []
    assert it.reader.outage == "what happened"
    retriable = event(KafkaError.POLICY_VIOLATION, 0, 0, fatal=False, retriable=True)
    assert it.poll(retriable) == []


def test_an_outage_is_checked_from_time_to_time_with_growing_patience(it: Reading) -> None:
    it.consumer.listed.clear()
    it.on_error(AWAY, ALL_AWAY)
    it.consumer.metadata = AWAY
    for _ in range(2):
        assert it.poll() == []
    assert it.consumer.listed == [0.1]
    for _ in range(8):
        it.clock.now += 10
        it.poll()
    assert it.consumer.listed == pytest.approx([0.1, 0.15, 0.225, 0.3375, 0.50625, 0.759375, 1.0, 1.0, 1.0])
    it.clock.now += 9.99
    it.poll()
    assert len(it.consumer.listed) == 9
    assert it.reader.outage is not None
    it.clock.now += 0.02
    it.consumer.metadata = metadata(2)
    it.poll()
    assert it.reader.outage is None
    it.on_error(ALL_AWAY)
    it.poll()
    it.poll()
    it.on_error(ALL_AWAY)
    it.poll()
    assert it.consumer.listed[-1] == 0.1


def test_records_that_arrive_during_an_outage_have_it_checked_at_once(it: Reading) -> None:
    it.consumer.listed.clear()
    it.on_error(ALL_AWAY)
    it.consumer.metadata = AWAY
    assert it.poll() == []
    assert it.poll(record(3)) == [(0, [3], 4)]
    assert len(it.consumer.listed) == 2
    assert it.reader.outage is not None
    it.consumer.metadata = metadata(2)
    assert it.poll(record(4)) == [(0, [4], 5)]
    assert it.reader.outage is None
    assert it.poll(record(5)) == [(0, [5], 6)]
    assert len(it.consumer.listed) == 3


def test_a_partition_that_is_reported_missing_is_looked_for_once(it: Reading) -> None:
    it.consumer.listed.clear()
    it.on_error(KafkaError(KafkaError._UNKNOWN_PARTITION))
    assert it.poll(record(3)) == [(0, [3], 4)]
    assert len(it.consumer.listed) == 1
    assert it.poll(record(4)) == [(0, [4], 5)]
    assert len(it.consumer.listed) == 1
    it.on_error(KafkaError(KafkaError._UNKNOWN_PARTITION))
    it.consumer.metadata = metadata(1)
    with pytest.raises(UnknownTopic):
        it.poll()


def test_a_refused_login_is_raised_by_the_next_poll(it: Reading) -> None:
    it.on_error(KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED))
    with pytest.raises(AuthenticationFailed):
        it.poll(record(3))


def test_positions_are_committed_without_waiting_and_a_failure_is_no_error(it: Reading) -> None:
    it.reader.commit({}, 4)
    it.reader.commit({ZERO: 7}, 5)
    assert it.consumer.committed == [([("t", 0, 7, "5")], True)]


def test_a_closed_reader_is_closed_once_and_cannot_read(it: Reading) -> None:
    it.reader.close()
    it.reader.close()
    assert it.consumer.closed == 1
    assert it.reader.poll(10, 0.0) == []
    with pytest.raises(InvariantBroken):
        it.reader.assign({ZERO: None})
