"""Which error of librdkafka becomes which of rayflow's."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from rayflow.connectors.kafka import faults
from rayflow.connectors.kafka.faults import error_of, fault, heals
from rayflow.connectors.kafka.transactional_producer import Verdict, verdict
from rayflow.core.errors import (
    AuthenticationFailed,
    BrokerRefused,
    BrokerUnavailable,
    Fenced,
    RayflowError,
    RecordTooLarge,
    SourceDataLost,
    TopicExists,
    UnknownTopic,
)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (faults.TOO_LARGE, RecordTooLarge),
        (faults.UNKNOWN, UnknownTopic),
        (faults.REFUSED, AuthenticationFailed),
        (faults.FENCED, Fenced),
        ({KafkaError.TOPIC_ALREADY_EXISTS}, TopicExists),
        (faults.LOST, SourceDataLost),
        (faults.REFUSED_RECORD, BrokerRefused),
        (faults.AWAY, BrokerUnavailable),
        ({KafkaError.POLICY_VIOLATION, KafkaError.INVALID_REPLICATION_FACTOR}, BrokerRefused),
    ],
)
def test_each_kind_of_error_has_its_class(codes: set[int], expected: type[RayflowError]) -> None:
    for code in codes:
        found = fault(KafkaError(code), "to create the topic", topic="t", partition=3, offset=7)
        assert type(found) is expected
        assert ("hour ahead" in str(found)) == (code in faults.REFUSED_RECORD)
        if expected not in (AuthenticationFailed, Fenced):
            assert found.topic == "t"


def test_an_unknown_partition_is_told_from_an_unknown_topic() -> None:
    error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert fault(error, "to read", topic="t", partition=0).partition == 0
    assert "partition" in str(fault(error, "to read", topic="t", partition=0))
    assert fault(error, "to read", topic="t").partition is None
    assert "partition" not in str(fault(error, "to read", topic="t"))


def test_lost_records_are_shown_with_their_place() -> None:
    lost = fault(KafkaError(KafkaError._AUTO_OFFSET_RESET), "to read", topic="t", partition=1, offset=7)
    assert lost.where == {"topic": "t", "partition": 1, "offset": 7}


def test_waiting_corrects_what_is_away_or_retriable() -> None:
    assert heals(KafkaError(KafkaError._TRANSPORT))
    assert heals(KafkaError(KafkaError.POLICY_VIOLATION, "", False, True))
    assert not heals(KafkaError(KafkaError.POLICY_VIOLATION))
    retriable = fault(KafkaError(KafkaError.POLICY_VIOLATION, "", False, True), "to publish")
    assert isinstance(retriable, BrokerUnavailable)


def test_an_exception_carries_its_error() -> None:
    error = KafkaError(KafkaError._TRANSPORT)
    assert error_of(KafkaException(error)) is error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaError(KafkaError._FENCED, "", True), Verdict.FENCED),
        (KafkaError(KafkaError.INVALID_PRODUCER_EPOCH, "", True), Verdict.FENCED),
        (KafkaError(KafkaError._STATE, "", True), Verdict.DROP),
        (KafkaError(KafkaError.INVALID_PRODUCER_EPOCH), Verdict.ABORT),
        (KafkaError(KafkaError._TRANSPORT, "", False, True, True), Verdict.ABORT),
        (KafkaError(KafkaError.POLICY_VIOLATION), Verdict.ABORT),
        (KafkaError(KafkaError._TRANSPORT), Verdict.AGAIN),
        (KafkaError(KafkaError._STATE, "", False, True), Verdict.AGAIN),
    ],
)
def test_the_reaction_to_an_error_of_a_transaction(error: KafkaError, expected: Verdict) -> None:
    assert verdict(error) is expected
