"""The contract of `rayflow.connectors.base`, as test classes that every connector's tests subclass.

`ReadContract`: a connector whose partitions can be read. `PublishContract`: one that a job can publish to.
`ConnectorContract`: both, and topics, records and positions in full (the embedded log, Kafka).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pytest

from rayflow.connectors.base import Connector, Polled, Publisher, Reader
from rayflow.core.batch import EncodedBatch, Headers
from rayflow.core.errors import Fenced, RecordTooLarge, SourceDataLost, TopicExists, UnknownTopic
from rayflow.core.ids import Marker, SinkTask, TopicPartition

MakeConnector: TypeAlias = Callable[[], Connector]
MakeTopic: TypeAlias = Callable[..., str]
Fill: TypeAlias = Callable[[Sequence[Sequence[int]]], str]
Values: TypeAlias = Callable[[str], list[bytes]]
ShownPositions: TypeAlias = Callable[[str, list[TopicPartition]], dict[TopicPartition, int]]

STEPS = ["begun", "produced", "marked", "positioned", "committing", "committed"]
DEADLINE = 60.0
"""Seconds after which a test gives up waiting."""

MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""The vectors of Apache Kafka's own UtilsTest.testMurmur2."""


def line(n: int) -> bytes:
    """The value of record `n`."""
    return b'{"n": %d}' % n


def number(value: bytes) -> int:
    """The record's number, from its value."""
    return int(json.loads(value)["n"])


def batch_of(
    topic: str,
    numbers: Sequence[int],
    *,
    key: bytes | None = b"k",
    partition: int | None = None,
    headers: list[Headers] | None = None,
) -> EncodedBatch:
    """Records `numbers` with one key."""
    values: list[bytes | None] = [line(n) for n in numbers]
    stamps = [1_700_000_000_000 + n for n in numbers]
    return EncodedBatch(topic, [key] * len(values), values, stamps, headers, partition)


def read_to_end(reader: Reader, seen: dict[TopicPartition, int] | None = None, at_once: int = 1_000) -> list[Polled]:
    """Poll until every assigned partition's end is reached; `seen` holds positions reached before."""
    ends = reader.ends()
    reached = dict(seen or {})
    found: list[Polled] = []
    limit = time.monotonic() + DEADLINE
    while any(reached.get(place, 0) < end for place, end in ends.items()):
        polled = reader.poll(at_once, 0.1)
        assert sum(len(one.batch) for one in polled) <= at_once
        for one in polled:
            place = TopicPartition(*one.batch.origin)
            assert one.next_position > reached.get(place, -1)
            reached[place] = one.next_position
        found += polled
        assert time.monotonic() < limit, f"ends {ends} not reached: {reached}"
    return found


def by_partition(polled: list[Polled]) -> dict[int, list[int]]:
    """The numbers of the records read, per partition, in order."""
    numbers: dict[int, list[int]] = {}
    for one in polled:
        numbers.setdefault(one.batch.origin.partition, []).extend(map(number, one.batch.values))
    return {partition: found for partition, found in numbers.items() if found}


def everything(connector: Connector, topic: str) -> list[Polled]:
    """All committed records of a topic."""
    reader = connector.reader("everything")
    try:
        reader.assign({TopicPartition(topic, p): None for p in range(connector.partitions(topic))})
        return read_to_end(reader)
    finally:
        reader.close()


def run(
    publisher: Publisher,
    marker: Marker,
    outputs: dict[SinkTask, list[EncodedBatch]],
    positions: dict[TopicPartition, int] | None = None,
) -> list[str]:
    """Publish an epoch to its end; the names of its steps."""
    return list(publisher.publish(marker, outputs, positions or {}))


def until(steps: Iterator[str], name: str) -> None:
    """Take steps until the one of that name has been yielded."""
    for step in steps:
        if step == name:
            return
    raise AssertionError(f"no step {name}")


class Basics:
    """Fixtures that all the contracts share. Subclasses define `make_connector`."""

    @pytest.fixture
    def connector(self, make_connector: MakeConnector) -> Iterator[Connector]:
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
    def topic(self, connector: Connector) -> MakeTopic:
        """Makes a fresh topic: `topic(partitions=1) -> name`."""

        def make(partitions: int = 1) -> str:
            name = f"t-{uuid.uuid4().hex[:12]}"
            connector.create(name, partitions)
            return name

        return make


class ReadContract(Basics):
    """Subclasses define `make_connector` and `fill`: makes a topic of partitions with the records of these numbers."""

    def test_each_partition_is_read_in_order_and_once(self, connector: Connector, fill: Fill) -> None:
        topic = fill([range(500), range(500, 700), range(700, 701)])
        assert connector.partitions(topic) == 3
        polled = everything(connector, topic)
        assert by_partition(polled) == {0: list(range(500)), 1: list(range(500, 700)), 2: [700]}
        for one in polled:
            assert len(one.batch.keys) == len(one.batch.timestamps) == len(one.batch.offsets) == len(one.batch)
            assert one.batch.origin.topic == topic
            assert list(one.batch.offsets) == sorted(set(one.batch.offsets))
            assert all(offset < one.next_position for offset in one.batch.offsets)

    def test_a_poll_gives_at_most_the_records_asked_for(self, connector: Connector, fill: Fill) -> None:
        topic = fill([range(100), range(100, 200)])
        reader = connector.reader("g")
        reader.assign({TopicPartition(topic, 0): None, TopicPartition(topic, 1): None})
        assert by_partition(read_to_end(reader, at_once=7)) == {0: list(range(100)), 1: list(range(100, 200))}
        reader.close()

    def test_reading_goes_on_after_a_new_assignment_without_loss_or_repetition(
        self, connector: Connector, fill: Fill
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

    def test_every_offset_is_a_position_to_read_from(self, connector: Connector, fill: Fill) -> None:
        topic = fill([range(40)])
        place = TopicPartition(topic, 0)
        offsets = [offset for one in everything(connector, topic) for offset in one.batch.offsets]
        reader = connector.reader("g")
        for skipped in (0, 1, 17, 39):
            reader.assign({place: offsets[skipped]})
            assert by_partition(read_to_end(reader)) == {0: list(range(skipped, 40))}
        reader.close()

    def test_an_assignment_replaces_the_one_before(self, connector: Connector, fill: Fill) -> None:
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

    def test_the_ends_are_what_reading_reaches(self, connector: Connector, fill: Fill) -> None:
        topic = fill([range(10), []])
        reader = connector.reader("g")
        reader.assign({TopicPartition(topic, 0): None, TopicPartition(topic, 1): None})
        ends = reader.ends()
        assert ends[TopicPartition(topic, 1)] == 0
        polled = read_to_end(reader)
        assert max(one.next_position for one in polled) == ends[TopicPartition(topic, 0)]
        assert [one for one in reader.poll(10, 0.05) if len(one.batch)] == []
        reader.close()

    def test_a_reader_at_the_end_has_nothing_to_give(self, connector: Connector, fill: Fill) -> None:
        topic = fill([range(10)])
        place = TopicPartition(topic, 0)
        reader = connector.reader("g")
        reader.assign({place: None})
        end = reader.ends()[place]
        reader.assign({place: end})
        assert reader.ends() == {place: end}
        assert [one for one in reader.poll(10, 0.1) if len(one.batch)] == []
        reader.close()

    def test_a_paused_reader_delivers_nothing_until_it_goes_on(self, connector: Connector, fill: Fill) -> None:
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

    def test_what_does_not_exist_is_an_unknown_topic(self, connector: Connector, unknown: str) -> None:
        with pytest.raises(UnknownTopic):
            connector.partitions(unknown)
        reader = connector.reader("g")
        with pytest.raises(UnknownTopic):
            reader.assign({TopicPartition(unknown, 0): None})
        reader.close()

    def test_a_partition_that_does_not_exist_is_refused(self, connector: Connector, fill: Fill) -> None:
        reader = connector.reader("g")
        with pytest.raises(UnknownTopic):
            reader.assign({TopicPartition(fill([[1]]), 7): None})
        reader.close()

    def test_a_position_beyond_the_end_is_lost_data(self, connector: Connector, fill: Fill) -> None:
        topic = fill([range(10)])
        reader = connector.reader("g")
        limit = time.monotonic() + DEADLINE
        with pytest.raises(SourceDataLost):  # noqa: PT012 - at once, or with the first poll that reaches the broker
            reader.assign({TopicPartition(topic, 0): 1_000_000})
            while time.monotonic() < limit:
                reader.poll(10, 0.1)
        reader.close()

    def test_closing_a_reader_twice_is_closing_it_once(self, connector: Connector, fill: Fill) -> None:
        reader = connector.reader("g")
        reader.assign({TopicPartition(fill([[1]]), 0): None})
        reader.close()
        reader.close()

    def test_the_check_says_in_one_line_what_is_there(self, connector: Connector) -> None:
        said = connector.check()
        assert said
        assert "\n" not in said


class PublishContract(Basics):
    """Subclasses define `make_connector`, and `values`: all values that readers of a topic see, in any order."""

    def test_publishing_takes_the_steps_of_the_contract(
        self, connector: Connector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        assert publisher.open([task]) == {task: None}
        steps = [
            step for step in run(publisher, Marker("l", 1), {task: [batch_of(name, range(10))]}) if step != "waiting"
        ]
        assert list(dict.fromkeys(steps)) == STEPS
        assert sorted(map(number, values(name))) == list(range(10))
        publisher.close()

    def test_nothing_is_visible_before_the_commit(
        self, connector: Connector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        for step in publisher.publish(Marker("l", 1), {task: [batch_of(name, range(10))]}, {}):
            if step not in ("committing", "committed"):
                assert values(name) == []
        assert sorted(map(number, values(name))) == list(range(10))
        publisher.close()

    def test_a_publisher_opened_again_reads_the_markers(
        self, connector: Connector, make_connector: MakeConnector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, first, second, idle = topic(2), SinkTask("out", 0), SinkTask("out", 1), SinkTask("other op", 1)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([first, second, idle])
        run(publisher, Marker("l", 1), {first: [batch_of(name, [1])], second: [batch_of(name, [2])], idle: []})
        run(publisher, Marker("l", 2), {first: [batch_of(name, [3])], second: []})
        publisher.close()
        other = make_connector()
        again = other.publisher(job, 0, "exactly_once")
        assert again.open([first, second, idle, SinkTask("new", 0)]) == {
            first: Marker("l", 2),
            second: Marker("l", 2),
            idle: Marker("l", 1),
            SinkTask("new", 0): None,
        }
        run(again, Marker("l", 3), {first: [batch_of(name, [4])], second: [], idle: []})
        assert sorted(map(number, values(name))) == [1, 2, 3, 4]
        again.close()
        other.close()

    def test_a_marker_of_a_new_lineage_replaces_the_old_one(
        self, connector: Connector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        run(publisher, Marker("old", 9), {task: [batch_of(name, [1])]})
        publisher.close()
        publisher = connector.publisher(job, 0, "exactly_once")
        assert publisher.open([task]) == {task: Marker("old", 9)}
        run(publisher, Marker("new", 3), {task: [batch_of(name, [2])]})
        publisher.close()
        publisher = connector.publisher(job, 0, "exactly_once")
        assert publisher.open([task]) == {task: Marker("new", 3)}
        assert sorted(map(number, values(name))) == [1, 2]
        publisher.close()

    def test_a_sink_task_that_moves_to_another_slot_keeps_its_marker(
        self, connector: Connector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task, stays = topic(), SinkTask("out", 3), SinkTask("out", 4)
        zero, one = connector.publisher(job, 0, "exactly_once"), connector.publisher(job, 1, "exactly_once")
        zero.open([task, stays])
        run(zero, Marker("l", 1), {task: [batch_of(name, [1])], stays: []})
        assert one.open([task]) == {task: Marker("l", 1)}
        run(one, Marker("l", 2), {task: [batch_of(name, [2])]})
        run(zero, Marker("l", 2), {stays: [batch_of(name, [3])]})
        assert sorted(map(number, values(name))) == [1, 2, 3]
        zero.close()
        one.close()
        back = connector.publisher(job, 0, "exactly_once")
        assert back.open([task, stays]) == {task: Marker("l", 2), stays: Marker("l", 2)}
        back.close()

    def test_markers_of_another_job_are_not_mixed_up(
        self, connector: Connector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        mine, other = connector.publisher(job, 0, "exactly_once"), connector.publisher(job + "x", 0, "exactly_once")
        mine.open([task])
        run(mine, Marker("l", 7), {task: [batch_of(name, [1])]})
        assert other.open([task]) == {task: None}
        run(other, Marker("m", 2), {task: [batch_of(name, [2])]})
        run(mine, Marker("l", 8), {task: [batch_of(name, [3])]})
        mine.close()
        other.close()
        for owner, marker in ((job, Marker("l", 8)), (job + "x", Marker("m", 2))):
            publisher = connector.publisher(owner, 0, "exactly_once")
            assert publisher.open([task]) == {task: marker}
            publisher.close()

    def test_a_publisher_opened_earlier_is_fenced(
        self, connector: Connector, make_connector: MakeConnector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        old = connector.publisher(job, 0, "exactly_once")
        old.open([task])
        run(old, Marker("l", 1), {task: [batch_of(name, [1])]})
        other = make_connector()
        new = other.publisher(job, 0, "exactly_once")
        assert new.open([task]) == {task: Marker("l", 1)}
        with pytest.raises(Fenced):
            run(old, Marker("l", 2), {task: [batch_of(name, [2])]})
        run(new, Marker("l", 2), {task: [batch_of(name, [3])]})
        old.close()
        new.close()
        other.close()
        assert sorted(map(number, values(name))) == [1, 3]

    @pytest.mark.parametrize("step", STEPS[:-1])
    def test_a_publisher_that_is_fenced_while_it_publishes_leaves_nothing_visible(
        self,
        connector: Connector,
        make_connector: MakeConnector,
        topic: MakeTopic,
        job: str,
        values: Values,
        step: str,
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        old = connector.publisher(job, 0, "exactly_once")
        old.open([task])
        steps = old.publish(Marker("l", 1), {task: [batch_of(name, range(100))]}, {})
        until(steps, step)
        other = make_connector()
        new = other.publisher(job, 0, "exactly_once")
        held = new.open([task])
        assert held == {task: None} or (step == "committing" and held == {task: Marker("l", 1)})
        if held[task] is None:
            with pytest.raises(Fenced):
                list(steps)
            assert values(name) == []
            run(new, Marker("l", 1), {task: [batch_of(name, range(100))]})
        assert sorted(map(number, values(name))) == list(range(100))
        old.close()
        new.close()
        other.close()

    @pytest.mark.parametrize("step", STEPS[:-1])
    def test_an_unfinished_publish_that_is_closed_leaves_nothing_visible(
        self, connector: Connector, topic: MakeTopic, job: str, values: Values, step: str
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        run(publisher, Marker("l", 1), {task: [batch_of(name, [0])]})
        steps = publisher.publish(Marker("l", 2), {task: [batch_of(name, range(1, 100))]}, {})
        until(steps, step)
        publisher.close()
        again = connector.publisher(job, 0, "exactly_once")
        held = again.open([task])[task]
        if held == Marker("l", 1):
            assert sorted(map(number, values(name))) == [0]
            run(again, Marker("l", 2), {task: [batch_of(name, range(1, 100))]})
        else:
            assert step == "committing"
            assert held == Marker("l", 2)
        assert sorted(map(number, values(name))) == list(range(100))
        again.close()

    def test_a_publish_to_an_unknown_topic_leaves_nothing_visible(
        self, connector: Connector, topic: MakeTopic, job: str, unknown: str, values: Values
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        with pytest.raises(UnknownTopic):
            run(publisher, Marker("l", 1), {task: [batch_of(name, [1]), batch_of(unknown, [2])]})
        publisher.close()
        again = connector.publisher(job, 0, "exactly_once")
        assert again.open([task]) == {task: None}
        assert values(name) == []
        again.close()

    def test_what_is_appended_at_least_once_is_there_after_the_flush(
        self, connector: Connector, topic: MakeTopic, job: str, values: Values
    ) -> None:
        name = topic()
        publisher = connector.publisher(job, 0, "at_least_once")
        publisher.open([SinkTask("out", 0)])
        publisher.append([batch_of(name, range(10)), batch_of(name, range(10, 20))])
        publisher.append([batch_of(name, range(20, 30))])
        list(publisher.flush())
        assert sorted(map(number, values(name))) == list(range(30))
        publisher.append([batch_of(name, range(30, 40))])
        list(publisher.flush())
        list(publisher.flush())
        assert sorted(map(number, values(name))) == list(range(40))
        publisher.close()

    def test_closing_a_publisher_twice_is_closing_it_once(self, connector: Connector, job: str) -> None:
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([SinkTask("out", 0)])
        publisher.close()
        publisher.close()
        unopened = connector.publisher(job, 0, "exactly_once")
        unopened.close()


class ConnectorContract(ReadContract, PublishContract):
    """The whole contract. Subclasses define `make_connector`, and `shown_positions`: what the system's own tools see of
    a job's positions, at the places asked for.

    `too_large` is the size in bytes of a value that the system refuses.
    """

    too_large: int = 2 << 20

    @pytest.fixture
    def fill(self, connector: Connector, topic: MakeTopic) -> Fill:
        def make(partitions: Sequence[Sequence[int]]) -> str:
            name = topic(len(partitions))
            appender = connector.appender()
            for partition, numbers in enumerate(partitions):
                if numbers:
                    appender.append(batch_of(name, numbers, partition=partition))
            appender.close()
            return name

        return make

    @pytest.fixture
    def values(self, connector: Connector) -> Values:
        def read(topic: str) -> list[bytes]:
            return [value for one in everything(connector, topic) for value in one.batch.values]

        return read

    def test_topics_are_created_listed_and_deleted(self, connector: Connector, make_connector: MakeConnector) -> None:
        names = sorted(f"t-{uuid.uuid4().hex[:12]}" for _ in range(2))
        for partitions, name in enumerate(names, 1):
            connector.create(name, partitions)
        other = make_connector()
        assert [(info.name, info.partitions) for info in other.topics() if info.name in names] == [
            (names[0], 1),
            (names[1], 2),
        ]
        assert [info.name for info in other.topics()] == sorted(info.name for info in other.topics())
        assert other.partitions(names[1]) == 2
        with pytest.raises(TopicExists):
            other.create(names[0], 1)
        connector.delete(names[0])
        limit = time.monotonic() + DEADLINE
        while names[0] in [info.name for info in other.topics()]:
            assert time.monotonic() < limit
        with pytest.raises(UnknownTopic):
            other.partitions(names[0])
        with pytest.raises(UnknownTopic):
            connector.delete(names[0])
        other.close()

    def test_a_record_comes_back_as_it_was_written(self, connector: Connector, topic: MakeTopic) -> None:
        name = topic()
        keys = [b"k", None, b"", b"\x00\xff", b"k"]
        values = [b"v", b"no key", b"", None, b"\x00" * 300]
        stamps = [0, 1_700_000_000_000, 1, 1_700_000_000_001, 4_000_000_000_000]
        headers: list[Headers] = [[], [("a", b"1"), ("b", None), ("a", b"2")], [], [("é", b"")], []]
        appender = connector.appender()
        appender.append(EncodedBatch(name, keys, values, stamps, headers, 0))
        appender.append(EncodedBatch(name, keys, values, stamps, None, 0))
        appender.close()
        polled = everything(connector, name)
        assert [key for one in polled for key in one.batch.keys] == keys * 2
        assert [value for one in polled for value in one.batch.values] == values * 2
        assert [stamp for one in polled for stamp in one.batch.timestamps] == stamps * 2
        found = [list(h) for one in polled for h in (one.batch.headers or [[]] * len(one.batch))]
        assert found == headers + [[]] * 5

    def test_published_records_come_back_as_they_were_written(
        self, connector: Connector, topic: MakeTopic, job: str
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        headers: list[Headers] = [[("h", b"1")], []]
        written = EncodedBatch(name, [None, b"k"], [b"v", None], [5, 6], headers, 0)
        run(publisher, Marker("l", 1), {task: [written]})
        publisher.close()
        (one,) = [one for one in everything(connector, name) if len(one.batch)]
        batch = one.batch
        assert (batch.keys, batch.values, batch.timestamps) == ([None, b"k"], [b"v", None], [5, 6])
        assert [list(h) for h in batch.headers or []] == headers

    def test_a_key_goes_to_the_partition_where_javas_clients_put_it(
        self, connector: Connector, topic: MakeTopic, job: str
    ) -> None:
        name, task = topic(5), SinkTask("out", 0)
        expected = {key: (hashed & 0x7FFFFFFF) % 5 for key, hashed in MURMUR2.items()}
        keys: list[bytes | None] = list(MURMUR2)
        batch = EncodedBatch(name, keys, keys, [1] * len(keys))
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        run(publisher, Marker("l", 1), {task: [batch]})
        publisher.close()
        appender = connector.appender()
        appender.append(batch)
        appender.close()
        found = [(key, one.batch.origin.partition) for one in everything(connector, name) for key in one.batch.keys]
        assert sorted(found) == sorted([*expected.items()] * 2)

    def test_records_of_one_key_keep_their_order_across_partitions_and_epochs(
        self, connector: Connector, topic: MakeTopic, job: str
    ) -> None:
        name, task = topic(3), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        for epoch in range(1, 6):
            numbers = range(epoch * 100, epoch * 100 + 100)
            keys: list[bytes | None] = [b"%d" % (n % 7) for n in numbers]
            values: list[bytes | None] = [line(n) for n in numbers]
            batches = [
                EncodedBatch(name, keys[:60], values[:60], [1] * 60),
                EncodedBatch(name, keys[60:], values[60:], [1] * 40),
            ]
            run(publisher, Marker("l", epoch), {task: batches})
        publisher.close()
        per_key: dict[bytes, list[int]] = {}
        for one in everything(connector, name):
            for key, value in zip(one.batch.keys, one.batch.values, strict=True):
                per_key.setdefault(key, []).append(number(value))
        assert per_key == {b"%d" % k: [n for n in range(100, 600) if n % 7 == k] for k in range(7)}

    def test_records_without_a_key_all_arrive(self, connector: Connector, topic: MakeTopic, job: str) -> None:
        name = topic(3)
        appender = connector.appender()
        for start in range(0, 300, 50):
            appender.append(batch_of(name, range(start, start + 50), key=None))
        appender.close()
        found = by_partition(everything(connector, name))
        assert sorted(n for numbers in found.values() for n in numbers) == list(range(300))

    def test_a_large_epoch_is_published_whole(self, connector: Connector, topic: MakeTopic, job: str) -> None:
        name, task = topic(2), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        batches = [
            batch_of(name, range(at, at + 10_000), partition=at // 10_000 % 2) for at in range(0, 60_000, 10_000)
        ]
        run(publisher, Marker("l", 1), {task: batches})
        publisher.close()
        found = by_partition(everything(connector, name))
        assert found == {p: [n for n in range(60_000) if n // 10_000 % 2 == p] for p in (0, 1)}

    def test_a_record_larger_than_the_limit_leaves_nothing_visible(
        self, connector: Connector, topic: MakeTopic, job: str
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        large = EncodedBatch(name, [b"k"], [bytes(self.too_large)], [1])
        with pytest.raises(RecordTooLarge):
            run(publisher, Marker("l", 1), {task: [batch_of(name, [1]), large]})
        publisher.close()
        again = connector.publisher(job, 0, "exactly_once")
        assert again.open([task]) == {task: None}
        assert by_partition(everything(connector, name)) == {}
        again.close()

    def test_one_publish_writes_several_topics_at_once(self, connector: Connector, topic: MakeTopic, job: str) -> None:
        names, tasks = [topic(), topic(2)], [SinkTask("a", 0), SinkTask("b", 1)]
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open(tasks)
        outputs = {task: [batch_of(name, [n])] for n, (task, name) in enumerate(zip(tasks, names, strict=True))}
        steps = publisher.publish(Marker("l", 1), outputs, {})
        until(steps, "positioned")
        assert [by_partition(everything(connector, name)) for name in names] == [{}, {}]
        list(steps)
        assert [
            [number(value) for one in everything(connector, name) for value in one.batch.values] for name in names
        ] == [[0], [1]]
        publisher.close()

    def test_a_reader_that_waits_is_given_what_is_published(
        self, connector: Connector, topic: MakeTopic, job: str
    ) -> None:
        name, task = topic(), SinkTask("out", 0)
        publisher, reader = connector.publisher(job, 0, "exactly_once"), connector.reader(job)
        reader.assign({TopicPartition(name, 0): None})
        publisher.open([task])
        position, found = 0, []
        for epoch in (1, 2, 3):
            run(publisher, Marker("l", epoch), {task: [batch_of(name, [epoch, -epoch])]})
            polled = read_to_end(reader, {TopicPartition(name, 0): position})
            position = polled[-1].next_position
            found.append(by_partition(polled))
        assert found == [{0: [epoch, -epoch]} for epoch in (1, 2, 3)]
        reader.close()
        publisher.close()

    def test_positions_are_shown_once_the_epoch_is_published(
        self, connector: Connector, topic: MakeTopic, fill: Fill, job: str, shown_positions: ShownPositions
    ) -> None:
        source, name, task = fill([range(10), range(5)]), topic(), SinkTask("out", 0)
        places = [TopicPartition(source, 0), TopicPartition(source, 1)]
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        run(publisher, Marker("l", 1), {task: [batch_of(name, [1])]}, {places[0]: 4, places[1]: 2})
        assert shown_positions(job, places) == {places[0]: 4, places[1]: 2}
        run(publisher, Marker("l", 2), {task: []}, {places[0]: 10})
        assert shown_positions(job, places) == {places[0]: 10, places[1]: 2}
        steps = publisher.publish(Marker("l", 3), {task: []}, {places[1]: 5})
        until(steps, "positioned")
        publisher.close()
        publisher = connector.publisher(job, 0, "exactly_once")
        publisher.open([task])
        assert shown_positions(job, places) == {places[0]: 10, places[1]: 2}
        publisher.close()

    def test_a_reader_shows_positions_of_a_job_without_a_sink(
        self, connector: Connector, fill: Fill, job: str, shown_positions: ShownPositions
    ) -> None:
        place = TopicPartition(fill([range(10)]), 0)
        reader = connector.reader(job)
        reader.assign({place: None})
        reader.commit({place: 6}, 1)
        limit = time.monotonic() + DEADLINE
        while shown_positions(job, [place]) != {place: 6}:
            reader.poll(1, 0.05)
            assert time.monotonic() < limit
        reader.close()

    def test_what_an_appender_wrote_is_visible_after_its_flush(self, connector: Connector, topic: MakeTopic) -> None:
        name = topic()
        appender = connector.appender()
        for n in range(5):
            appender.append(batch_of(name, [n]))
        appender.flush()
        assert by_partition(everything(connector, name)) == {0: [0, 1, 2, 3, 4]}
        appender.append(batch_of(name, [5]))
        appender.close()
        assert by_partition(everything(connector, name)) == {0: [0, 1, 2, 3, 4, 5]}
