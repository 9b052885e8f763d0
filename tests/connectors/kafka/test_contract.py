"""The Kafka connector keeps the contract that all connectors keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import pytest

from rayflow.connectors.base import NO_TOPICS, Publisher
from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.core.batch import EncodedBatch, Headers
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from tests.contracts.connector_records import MakeConnector, MakeTopic, Whole, everything
from tests.contracts.connectors import ConnectorContract
from tests.kafka.client import Kafka, until

Outputs: TypeAlias = Mapping[SinkTask, Sequence[EncodedBatch]]


class SettlingConnector(KafkaConnector):
    """Its publishers wait, after an epoch is committed, until readers see it.

    A broker answers a commit once it is decided, and shows it to readers a few milliseconds later.
    """

    def __init__(self, kafka: Kafka) -> None:
        super().__init__(kafka.url, {}, {})
        self.kafka = kafka

    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        made = super().publisher(job, slot, delivery, topics)
        publish = made.publish

        def settling(marker: Marker, outputs: Outputs, positions: Mapping[TopicPartition, int]) -> Iterator[str]:
            yield from publish(marker, outputs, positions)
            topics = {batch.topic for batches in outputs.values() for batch in batches}
            until(lambda: not any(map(self.kafka.open_transactions, topics)))
            until(lambda: set(made.markers(list(outputs)).values()) == {marker})
            shown = {tuple(place): (position, str(marker.epoch)) for place, position in positions.items()}
            until(lambda: shown.items() <= self.kafka.group_offsets(job).items())

        made.publish = settling  # type: ignore[method-assign]
        return made


class TestKafkaKeepsTheContract(ConnectorContract):
    """Everything, on a real broker."""

    @pytest.fixture
    def make_connector(self, kafka: Kafka) -> MakeConnector:
        return lambda: SettlingConnector(kafka)

    @pytest.fixture
    def shown_positions(self, kafka: Kafka) -> Callable[[str, list[TopicPartition]], dict[TopicPartition, int]]:
        def shown(job: str, places: list[TopicPartition]) -> dict[TopicPartition, int]:
            offsets = kafka.group_offsets(job)
            return {place: offsets[place][0] for place in places if place in offsets}

        return shown

    def test_a_record_comes_back_as_it_was_written(self, connector: Whole, topic: MakeTopic) -> None:
        """As in the contract, at times that Kafka accepts: not 0 (librdkafka's "now"), not an hour ahead."""
        name = topic()
        keys = [b"k", None, b"", b"\x00\xff", b"k"]
        values = [b"v", b"no key", b"", None, b"\x00" * 300]
        stamps = [1, 1_700_000_000_000, 2, 1_700_000_000_001, 1_500_000_000_000]
        headers: list[Headers] = [[], [("a", b"1"), ("b", None), ("a", b"2")], [], [("é", b"")], []]
        appender = connector.appender()
        appender.append(EncodedBatch(name, keys, values, stamps, headers, 0))
        appender.append(EncodedBatch(name, keys, values, stamps, None, 0))
        appender.close()
        (one,) = [one for one in everything(connector, name) if len(one.batch)]
        assert (one.batch.keys, one.batch.values, one.batch.timestamps) == (keys * 2, values * 2, stamps * 2)
        assert one.batch.headers == headers + [[]] * 5
        assert one.batch.offsets == range(10)
