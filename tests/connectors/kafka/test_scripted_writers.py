"""What writers make of transactions and queues that stand still: scripted producers and clocks."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from rayflow.connectors.kafka import appender as appending
from rayflow.connectors.kafka import plain_producer as writing
from rayflow.connectors.kafka import transactional_producer as transacting
from rayflow.connectors.kafka.appender import KafkaAppender
from rayflow.connectors.kafka.client import Contact
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.plain_producer import PlainProducer
from rayflow.connectors.kafka.transactional_producer import TransactionalProducer
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import (
    AuthenticationFailed,
    BrokerRefused,
    BrokerUnavailable,
    RecordTooLarge,
)
from tests.connectors.kafka.clock import Clock

SETTINGS = KafkaSettings("127.0.0.1:1")
AWAY = KafkaError(KafkaError._TRANSPORT, "b/1: Connect failed")


class ScriptedProducer:
    """A producer of librdkafka that is told nothing."""

    def __init__(self) -> None:
        self.waiting = self.left = 0
        self.full = False
        self.refuse: Exception | None = None
        self.called: list[tuple[Any, ...]] = []
        self.failing: Exception | None = None

    def __len__(self) -> int:
        return self.waiting

    def produce(self, *values: Any) -> None:
        if self.full:
            raise BufferError
        if self.refuse is not None:
            raise self.refuse
        self.waiting += 1

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*values: Any, **named: float) -> int:
            self.called.append((name, *values, *named.values()))
            if self.failing is not None:
                raise self.failing
            return self.left

        return call


@pytest.fixture
def transaction(monkeypatch: pytest.MonkeyPatch) -> tuple[TransactionalProducer, ScriptedProducer, Clock]:
    client, clock = ScriptedProducer(), Clock()
    monkeypatch.setattr(transacting, "make", lambda kind, settings, contact: client)
    monkeypatch.setattr(transacting, "time", clock)
    return TransactionalProducer(SETTINGS, "id"), client, clock


def test_a_transaction_has_an_age_from_its_beginning_to_its_end(
    transaction: tuple[TransactionalProducer, ScriptedProducer, Clock],
) -> None:
    producer, client, clock = transaction
    assert (producer.open, producer.age) == (False, 0.0)
    for end in (producer.commit, producer.abort):
        producer.begin()
        clock.now += 5
        assert (producer.open, producer.age) == (True, 5.0)
        end()
        assert (producer.open, producer.age) == (False, 0.0)
    assert [name for name, *_ in client.called] == [
        *("begin_transaction", "commit_transaction", "begin_transaction", "abort_transaction")
    ]
    producer.begin()
    client.failing = KafkaException(AWAY)
    for end in (producer.commit, producer.abort):
        with pytest.raises(KafkaException):
            end()
        assert producer.open


def test_a_transaction_stands_still_while_the_broker_takes_no_record(
    transaction: tuple[TransactionalProducer, ScriptedProducer, Clock],
) -> None:
    producer, client, clock = transaction
    clock.now = 7.0
    assert producer.stillness() == 7.0
    producer.begin()
    clock.now += 2
    assert producer.stillness() == 2.0
    producer.outbox([EncodedBatch("t", [None] * 3, [b"v"] * 3, [1] * 3)]).feed()
    assert producer.stillness() == 2.0
    client.waiting = 2
    assert producer.stillness() == 0.0
    clock.now += 3
    assert producer.stillness() == 3.0
    client.waiting = 0
    assert producer.stillness() == 0.0
    clock.now += 1
    producer.begin()
    assert producer.stillness() == 0.0
    clock.now += 1
    assert producer.stillness() == 1.0


def test_reports_are_processed_and_a_fatal_error_is_left_to_the_next_call(
    transaction: tuple[TransactionalProducer, ScriptedProducer, Clock],
) -> None:
    producer, client, _ = transaction
    for failure in (None, KafkaException(AWAY), SystemError()):
        client.failing = failure
        producer.serve(0.5)
        producer.abandon()
    assert client.called[:3] == [("poll", 0.5), ("purge",), ("poll", 0)]
    client.failing = None
    client.called.clear()
    producer.serve()
    assert client.called == [("poll", 0)]
    producer.connect()
    assert client.called[1:] == [("list_topics", "__consumer_offsets", 0.25)]
    producer.ping(0.1)
    producer.take_over()
    producer.send_offsets([], "group")
    assert client.called[-3:] == [
        ("list_topics", "__consumer_offsets", 0.1),
        ("init_transactions", 3.0),
        ("send_offsets_to_transaction", [], "group", 3.0),
    ]


def test_the_lasting_cause_of_a_failed_transaction_is_that_of_its_records(
    transaction: tuple[TransactionalProducer, ScriptedProducer, Clock],
) -> None:
    producer, _, _ = transaction
    state = KafkaError(KafkaError._STATE)
    assert producer.lasting_cause(state, "t") is None
    assert producer.lasting_cause(AWAY, "t") is None
    assert isinstance(producer.lasting_cause(KafkaError(KafkaError.POLICY_VIOLATION), "t"), BrokerRefused)
    report = producer._errors.on_delivery
    for passing in (KafkaError(KafkaError._PURGE_QUEUE), AWAY):
        report(passing, SimpleNamespace(topic=lambda: "u"))
    assert producer.lasting_cause(state, "t") is None
    report(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), SimpleNamespace(topic=lambda: "u"))
    cause = producer.lasting_cause(state, "t")
    assert isinstance(cause, RecordTooLarge)
    assert cause.topic == "u"
    producer.begin()
    assert producer.lasting_cause(state, "t") is None


class ScriptedPlainProducer:
    """Says how many records are left, one number a call; the last one for ever."""

    made: list[ScriptedPlainProducer]
    script: list[int]
    clock: Clock

    def __init__(self, settings: KafkaSettings) -> None:
        self.contact = Contact()
        self.added = 0
        type(self).made.append(self)

    def add(self, batches: list[EncodedBatch]) -> None:
        self.added += sum(map(len, batches))

    def advance(self, seconds: float) -> int:
        self.clock.now += 4.0
        script = type(self).script
        return script.pop(0) if len(script) > 1 else script[0]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedPlainProducer]:
    ScriptedPlainProducer.made, ScriptedPlainProducer.script, ScriptedPlainProducer.clock = [], [0], Clock()
    monkeypatch.setattr(appending, "PlainProducer", ScriptedPlainProducer)
    monkeypatch.setattr(appending, "time", ScriptedPlainProducer.clock)
    return ScriptedPlainProducer


class Known:
    """Knows topics, and counts the questions."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def partitions(self, topic: str) -> int:
        self.asked.append(topic)
        return 1


def of(count: int, topic: str = "t") -> EncodedBatch:
    return EncodedBatch(topic, [None] * count, [b"v"] * count, [1] * count)


def test_an_appender_asks_for_each_topic_once_and_connects_with_the_first_record(
    plain: type[ScriptedPlainProducer],
) -> None:
    admin = Known()
    appender = KafkaAppender(SETTINGS, admin)  # type: ignore[arg-type]
    appender.flush()
    assert plain.made == []
    for topic in ("t", "t", "u"):
        appender.append(of(2, topic))
    assert admin.asked == ["t", "u"]
    assert [producer.added for producer in plain.made] == [6]
    appender.close()
    appender.close()


def test_an_appender_waits_for_the_broker_when_very_much_is_in_flight(
    plain: type[ScriptedPlainProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "_BACKLOG", 10)
    appender = KafkaAppender(SETTINGS, Known())  # type: ignore[arg-type]
    waited = []
    for count in (4, 6, 1, 10, 1):
        plain.script = [3, 2, 1, 0]
        before = plain.clock.now
        appender.append(of(count))
        waited.append(plain.clock.now - before)
    assert waited == [0.0, 0.0, 16.0, 0.0, 16.0]


def test_a_flush_goes_on_while_records_leave_and_gives_up_when_none_does(plain: type[ScriptedPlainProducer]) -> None:
    appender = KafkaAppender(SETTINGS, Known())  # type: ignore[arg-type]
    appender.append(of(9))
    plain.script = [*(left for left in range(9, 0, -1) for _ in range(3)), 0]
    appender.flush()
    plain.script = [5]
    before = plain.clock.now
    with pytest.raises(BrokerUnavailable, match=r"for 10 s \(no answer\)"):
        appender.flush()
    assert plain.clock.now - before == 16.0
    plain.made[0].contact.outage = "all down"
    with pytest.raises(BrokerUnavailable, match="all down"):
        appender.close()
    appender.flush()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> ScriptedProducer:
    client = ScriptedProducer()
    monkeypatch.setattr(writing, "make", lambda kind, settings, contact: client)
    return client


def test_a_plain_producer_passes_on_what_fits_and_waits_only_as_long_as_it_may(client: ScriptedProducer) -> None:
    producer = PlainProducer(SETTINGS)
    producer.add([of(9_000), of(1)])
    assert client.waiting == 9_001
    assert client.called == [("poll", 0)]
    client.left = 5
    assert producer.advance(0.5) == 5
    assert client.called == [("poll", 0), ("flush", 0.5)]
    client.full = True
    producer.add([of(3), of(4)])
    assert client.waiting == 9_001
    assert producer.advance(0.5) == 12
    client.full = False
    assert producer.advance(0.5) == 5
    assert client.waiting == 9_008


def test_a_plain_producer_raises_what_its_connections_and_records_meet(client: ScriptedProducer) -> None:
    producer = PlainProducer(SETTINGS)
    producer.contact.on_error(KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED))
    with pytest.raises(AuthenticationFailed):
        producer.add([])
    client.failing = KafkaException(KafkaError(KafkaError.POLICY_VIOLATION))
    with pytest.raises(BrokerRefused, match="to take records"):
        producer.advance(0.5)
    client.failing = None
    client.refuse = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    with pytest.raises(RecordTooLarge) as refused:
        producer.add([of(1, "u")])
    assert refused.value.topic == "u"
