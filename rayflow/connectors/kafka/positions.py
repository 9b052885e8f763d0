"""Looks up the first and the end positions of partitions.

It uses a consumer. If an AdminClient asks for offsets while a partition's leader is unknown (a new topic, a broker that
restarts), the process may end (librdkafka 2.16 passes the request to a broker that does not exist).
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.kafka.client import Contact, ask
from rayflow.connectors.kafka.faults import UNKNOWN, error_of
from rayflow.core.ids import TopicPartition

EARLIEST, LATEST = -2, -1
"""Special times that mean a partition's first and end position in look-ups by time."""


def look_up(
    consumer: Consumer, places: Sequence[TopicPartition], when: int, contact: Contact, timeout: float
) -> dict[TopicPartition, int]:
    """First or end positions, the latter as far as the consumer may read. One request per broker, by time.

    Raises BrokerUnavailable after `timeout` seconds, and the errors of `ask`.
    """
    if not places:
        return {}

    def positions(seconds: float) -> dict[TopicPartition, int]:
        try:
            answers = consumer.offsets_for_times([Place(*place, when) for place in places], timeout=seconds)
            failed = next((answer.error for answer in answers if answer.error is not None), None)
        except KafkaException as failure:
            failed = error_of(failure)
        if failed is not None and failed.code() in UNKNOWN:  # they existed before: their leader is unknown now
            failed = KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
        if failed is not None:
            raise KafkaException(failed)
        return {TopicPartition(answer.topic, answer.partition): answer.offset for answer in answers}

    return ask(positions, contact, "where the partitions end", timeout=timeout)
