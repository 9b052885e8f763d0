"""Looking up where partitions begin and end: what a consumer answers for one partition alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.kafka.client import Contact
from rayflow.connectors.kafka.positions import EARLIEST, LATEST, look_up
from rayflow.core.errors import AuthenticationFailed, BrokerUnavailable
from rayflow.core.ids import TopicPartition

PLACES = [TopicPartition("t", 0), TopicPartition("t", 1)]


@dataclass(frozen=True)
class Answer:
    topic: str
    partition: int
    offset: int
    error: KafkaError | None = None


@dataclass
class Answers:
    """A consumer that gives prepared answers, the last one for ever."""

    prepared: list[list[Answer]]
    asked: list[list[Place]] = field(default_factory=list)

    def offsets_for_times(self, places: Sequence[Place], timeout: float) -> list[Answer]:
        self.asked.append(list(places))
        return self.prepared.pop(0) if len(self.prepared) > 1 else self.prepared[0]


def found(answers: Answers, timeout: float = 30.0) -> dict[TopicPartition, int]:
    return look_up(cast(Consumer, answers), PLACES, LATEST, Contact(), timeout)


def failed(code: Any) -> list[Answer]:
    return [Answer("t", 0, 7), Answer("t", 1, -1, KafkaError(code))]


WELL = [Answer("t", 0, 7), Answer("t", 1, 9)]


@pytest.mark.parametrize("code", [KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_it_is_asked_again_while_one_partition_has_no_leader(code: int) -> None:
    answers = Answers([failed(code), WELL])
    assert found(answers) == {PLACES[0]: 7, PLACES[1]: 9}
    assert [[(place.topic, place.partition, place.offset) for place in places] for places in answers.asked] == [
        [("t", 0, LATEST), ("t", 1, LATEST)]
    ] * 2


def test_a_partition_that_stays_without_a_leader_is_an_error_and_no_position() -> None:
    with pytest.raises(BrokerUnavailable, match="where the partitions end"):
        found(Answers([failed(KafkaError.UNKNOWN_TOPIC_OR_PART)]), timeout=0.05)


def test_a_partition_that_may_not_be_read_is_an_error_at_once() -> None:
    answers = Answers([failed(KafkaError._AUTHENTICATION)])
    with pytest.raises(AuthenticationFailed):
        found(answers)
    assert len(answers.asked) == 1


def test_first_and_end_are_asked_for_by_the_protocols_own_numbers() -> None:
    assert (EARLIEST, LATEST) == (-2, -1)


def test_without_partitions_nobody_is_asked() -> None:
    answers = Answers([WELL])
    assert look_up(cast(Consumer, answers), [], LATEST, Contact(), 30.0) == {}
    assert not answers.asked
