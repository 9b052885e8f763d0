"""Looks at the model and at the real broker in the same way: by rayflow's contract of readers, and at groups."""

from __future__ import annotations

from typing import Any, TypeAlias

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.base import Reader
from rayflow.connectors.kafka.faults import heals
from rayflow.core.errors import BrokerUnavailable, RayflowError, SourceDataLost
from rayflow.core.ids import TopicPartition
from rayflow.testing.simulation.kafka import ModelKafka
from tests.kafka.client import Kafka, until

PARTITIONS = 2
"""Of each topic that scripts use."""

Record: TypeAlias = tuple[int, bytes | None, bytes | None, int]
"""Offset, key, value, timestamp."""

Read: TypeAlias = dict[int, tuple[list[Record], int]] | str
"""Per partition the records and where reading stands after them; "lost" when a position was refused."""


def new_topic(kafka: Kafka) -> str:
    """A topic that nobody else uses, once the broker can say where its partitions end."""
    topic = kafka.create(partitions=PARTITIONS)

    def ready() -> bool:
        try:
            return kafka.ends(topic) == [0] * PARTITIONS
        except KafkaException as failure:
            if not heals(failure.args[0]):
                raise
            return False

    until(ready)
    return topic


def read_to_ends(reader: Reader, topic: str, positions: dict[int, int]) -> Read:
    """What a reader gives from these positions on, until it stands at every end."""
    try:
        reader.assign({TopicPartition(topic, p): at for p, at in positions.items()})
    except SourceDataLost:
        reader.close()
        return "lost"
    found: dict[int, tuple[list[Record], int]] = {p: ([], at) for p, at in positions.items()}
    ends = {place.partition: end for place, end in reader.ends().items()}
    while any(found[p][1] < end for p, end in ends.items()):
        polled = reader.poll(7, 0.05)
        assert sum(len(one.batch) for one in polled) <= 7
        for one in polled:
            batch, p = one.batch, one.batch.origin.partition
            assert one.next_position > found[p][1]
            records = zip(batch.offsets, batch.keys, batch.values, batch.timestamps, strict=True)
            found[p] = ([*found[p][0], *records], one.next_position)
    reader.close()
    return found


def told_at_assign(reader: Reader, topic: str, positions: dict[int, int | None]) -> str:
    """ "done", or the class of the error."""
    try:
        reader.assign({TopicPartition(topic, p): at for p, at in positions.items()})
    except RayflowError as error:
        return type(error).__name__
    finally:
        reader.close()
    return "done"


def offset_in_model(kafka: ModelKafka, group: str, place: TopicPartition) -> Any:
    """A group's offset: (offset, metadata), None, or "unstable"."""
    try:
        return kafka.read_offsets(group, [place]).get(place)
    except BrokerUnavailable:
        return "unstable"


def offset_in_kafka(kafka: Kafka, group: str, place: TopicPartition) -> Any:
    """The same, as Kafka's tools see it."""
    asked = [ConsumerGroupTopicPartitions(group, [Place(*place)])]
    try:
        answer = kafka.admin.list_consumer_group_offsets(asked, require_stable=True)[group].result(30)
        (found,) = answer.topic_partitions
        if found.error is not None:
            raise KafkaException(found.error)
    except KafkaException as failure:
        if failure.args[0].code() != KafkaError.UNSTABLE_OFFSET_COMMIT:
            raise
        return "unstable"
    return None if found.offset < 0 else (found.offset, found.metadata or "")
