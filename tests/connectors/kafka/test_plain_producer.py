"""What a plain writer makes of deliveries that fail."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from rayflow.connectors.kafka.at_least_once import AtLeastOncePublisher
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.plain_producer import PlainProducer
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerUnavailable, RayflowError
from tests.kafka.broker import free_ports


class Report:
    """The record of a delivery report."""

    def topic(self) -> str:
        return "t"


@pytest.fixture
def settings() -> KafkaSettings:
    """Of a broker that never answers."""
    return KafkaSettings(f"127.0.0.1:{free_ports(1)[0]}")


@pytest.mark.parametrize(
    "code", [KafkaError._MSG_TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, KafkaError._TRANSPORT]
)
def test_a_record_that_the_producer_has_given_up_is_never_taken_for_written(settings: KafkaSettings, code: int) -> None:
    producer = PlainProducer(settings)
    producer.add([EncodedBatch("t", [None], [b"v"], [1])])
    producer._errors.on_delivery(KafkaError(code), Report())
    for _ in range(2):  # and it is said again: nobody may go on after looking away
        with pytest.raises(BrokerUnavailable):
            producer.advance(0)


def test_a_flush_at_least_once_ends_with_an_error_when_the_producer_gives_records_up(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = {**settings.lasting_producer(), "message.timeout.ms": 200}
    monkeypatch.setattr(KafkaSettings, "lasting_producer", lambda self: impatient)
    monkeypatch.setattr(PlainProducer, "connect", lambda self: None)
    publisher = AtLeastOncePublisher(settings, "job")
    publisher.open([])
    publisher.append([EncodedBatch("t", [None], [b"v"], [1])])
    with pytest.raises(RayflowError):
        list(publisher.flush())


def test_how_long_a_record_is_tried_is_not_the_users_to_say() -> None:
    given = {"message.timeout.ms": "1500"}
    assert KafkaSettings("a:9092", given).lasting_producer()["message.timeout.ms"] == 0
