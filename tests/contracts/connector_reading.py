"""The contract of connectors that are read."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from rayflow.connectors.base import Polled, Source
from rayflow.core.errors import SourceDataLost, UnknownTopic
from rayflow.core.ids import TopicPartition
from tests.contracts.connector_records import (
    DEADLINE,
    Fill,
    MakeConnector,
    MakeTopic,
    Whole,
    by_partition,
    everything,
    read_to_end,
)


class Basics:
    """Fixtures that all the contracts share. Subclasses define `make_connector`, and `topic` where there is no
    `TopicAdmin`."""

    @pytest.fixture
    def connector(self, make_connector: MakeConnector) -> Iterator[Whole]:
        made = make_connector()
        yield made
        made.close()

    @pytest.fixture
    def job(self) -> str:
        """A job's name that no other test uses."""
        return f"job-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def unknown(self) -> str:
        """Name of a topic that does not exist."""
        return f"unknown-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def topic(self, connector: Whole) -> MakeTopic:
        """Makes a fresh topic: `topic(partitions=1) -> name`."""

        def make(partitions: int = 1) -> str:
            name = f"t-{uuid.uuid4().hex[:12]}"
            connector.create(name, partitions)
            return name

        return make

    def test_the_check_says_in_one_line_what_is_there(self, connector: Whole) -> None:
        said = connector.check()
        assert said
        assert "\n" not in said


class ReadContract(Basics):
    """Subclasses define `make_connector` and `fill`: makes a topic of partitions with the records of these numbers."""

    def test_a_topic_has_one_identity_however_often_it_is_asked_for(
        self, connector: Source, make_connector: MakeConnector, fill: Fill, unknown: str
    ) -> None:
        one, two, other = fill([[1], [2]]), fill([[1], [2]]), make_connector()
        assert connector.identity(one) == other.identity(one) == connector.identity(one)
        assert connector.identity(one) != connector.identity(two)
        system, hash_, topic = connector.identity(one).partition("#")
        assert (system, hash_) == (connector.identity(two).partition("#")[0], "#")
        assert topic
        with pytest.raises(UnknownTopic):
            other.identity(unknown)
        other.close()

    def test_each_partition_is_read_in_order_and_once(self, connector: Source, fill: Fill) -> None:
        topic = fill([range(500), range(500, 700), range(700, 701)])
        assert connector.partitions(topic) == 3
        polled = everything(connector, topic)
        assert by_partition(polled) == {0: list(range(500)), 1: list(range(500, 700)), 2: [700]}
        for one in polled:
            assert len(one.batch.keys) == len(one.batch.timestamps) == len(one.batch.offsets) == len(one.batch)
            assert one.batch.origin.topic == topic
            assert list(one.batch.offsets) == sorted(set(one.batch.offsets))
            assert all(offset < one.next_position for offset in one.batch.offsets)

    def test_a_poll_gives_at_most_the_records_asked_for(self, connector: Source, fill: Fill) -> None:
        topic = fill([range(100), range(100, 200)])
        reader = connector.reader("g")
        reader.assign({TopicPartition(topic, 0): None, TopicPartition(topic, 1): None})
        assert by_partition(read_to_end(reader, at_once=7)) == {0: list(range(100)), 1: list(range(100, 200))}
        reader.close()

    def test_reading_goes_on_after_a_new_assignment_without_loss_or_repetition(
        self, connector: Source, fill: Fill
    ) -> None:
        topic = fill([range(300), range(300, 600)])
        first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
        reader = connector.reader("g")
        reader.assign({first: None, second: None})
        limit = time.monotonic() + DEADLINE
        polled: list[Polled] = []
        while not polled:
            polled = reader.poll(50, 0.5)
            assert time.monotonic() < limit
        positions: dict[TopicPartition, int | None] = {first: None, second: None}
        for one in polled:
            positions[TopicPartition(*one.batch.origin)] = one.next_position
        reader.assign(positions)
        rest = read_to_end(reader, {place: at for place, at in positions.items() if at is not None})
        assert by_partition(polled + rest) == {0: list(range(300)), 1: list(range(300, 600))}
        reader.close()

    def test_every_offset_is_a_position_to_read_from(self, connector: Source, fill: Fill) -> None:
        topic = fill([range(40)])
        place = TopicPartition(topic, 0)
        offsets = [offset for one in everything(connector, topic) for offset in one.batch.offsets]
        reader = connector.reader("g")
        for skipped in (0, 1, 17, 39):
            reader.assign({place: offsets[skipped]})
            assert by_partition(read_to_end(reader)) == {0: list(range(skipped, 40))}
        reader.close()

    def test_an_assignment_replaces_the_one_before(self, connector: Source, fill: Fill) -> None:
        topic = fill([range(10), range(10, 20)])
        reader = connector.reader("g")
        reader.assign({TopicPartition(topic, 0): None, TopicPartition(topic, 1): None})
        reader.assign({TopicPartition(topic, 1): None})
        assert set(reader.ends()) == {TopicPartition(topic, 1)}
        assert by_partition(read_to_end(reader)) == {1: list(range(10, 20))}
        reader.assign({})
        assert reader.ends() == {}
        assert reader.poll(10, 0.0) == []
        reader.close()

    def test_the_ends_are_what_reading_reaches(self, connector: Source, fill: Fill) -> None:
        topic = fill([range(10), []])
        reader = connector.reader("g")
        reader.assign({TopicPartition(topic, 0): None, TopicPartition(topic, 1): None})
        ends = reader.ends()
        assert ends[TopicPartition(topic, 1)] == 0
        polled = read_to_end(reader)
        assert max(one.next_position for one in polled) == ends[TopicPartition(topic, 0)]
        assert [one for one in reader.poll(10, 0.05) if len(one.batch)] == []
        reader.close()

    def test_a_reader_at_the_end_has_nothing_to_give(self, connector: Source, fill: Fill) -> None:
        topic = fill([range(10)])
        place = TopicPartition(topic, 0)
        reader = connector.reader("g")
        reader.assign({place: None})
        end = reader.ends()[place]
        reader.assign({place: end})
        assert reader.ends() == {place: end}
        assert [one for one in reader.poll(10, 0.1) if len(one.batch)] == []
        reader.close()

    def test_a_paused_reader_delivers_nothing_until_it_goes_on(self, connector: Source, fill: Fill) -> None:
        topic = fill([range(100)])
        reader = connector.reader("g")
        reader.assign({TopicPartition(topic, 0): None})
        reader.pause()
        reader.pause()
        assert reader.poll(10, 0.1) == []
        reader.resume()
        first: list[Polled] = []
        limit = time.monotonic() + DEADLINE
        while not first:
            first = reader.poll(10, 0.1)
            assert time.monotonic() < limit
        reader.pause()
        assert reader.poll(10, 0.05) == []
        reader.resume()
        rest = read_to_end(reader, {TopicPartition(topic, 0): first[-1].next_position})
        assert by_partition(first + rest) == {0: list(range(100))}
        reader.close()

    def test_what_does_not_exist_is_an_unknown_topic(self, connector: Source, unknown: str) -> None:
        with pytest.raises(UnknownTopic):
            connector.partitions(unknown)
        reader = connector.reader("g")
        with pytest.raises(UnknownTopic):
            reader.assign({TopicPartition(unknown, 0): None})
        reader.close()

    def test_a_partition_that_does_not_exist_is_refused(self, connector: Source, fill: Fill) -> None:
        reader = connector.reader("g")
        with pytest.raises(UnknownTopic):
            reader.assign({TopicPartition(fill([[1]]), 7): None})
        reader.close()

    def test_a_position_beyond_the_end_is_lost_data(self, connector: Source, fill: Fill) -> None:
        topic = fill([range(10)])
        reader = connector.reader("g")
        limit = time.monotonic() + DEADLINE
        with pytest.raises(SourceDataLost):  # noqa: PT012 - at once, or with the first poll that reaches the broker
            reader.assign({TopicPartition(topic, 0): 1_000_000})
            while time.monotonic() < limit:
                reader.poll(10, 0.1)
        reader.close()

    def test_closing_a_reader_twice_is_closing_it_once(self, connector: Source, fill: Fill) -> None:
        reader = connector.reader("g")
        reader.assign({TopicPartition(fill([[1]]), 0): None})
        reader.close()
        reader.close()
