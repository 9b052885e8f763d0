"""The contracts of `rayflow.connectors.base`, as test classes that a connector's tests subclass: one for each part.

`ReadContract`: a `Source`. `AppendContract`: a `Sink` at least once; `PublishContract`: exactly once as well.
`TopicContract`: a `TopicAdmin`. `WriterContract`: an `Appendable`.
`ConnectorContract`: all parts, with keys, headers, timestamps and positions (the embedded log, Kafka).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

import pytest

from rayflow.core.batch import EncodedBatch, Headers
from rayflow.core.errors import RecordTooLarge, TopicExists, UnknownTopic
from rayflow.core.ids import Marker, SinkTask, TopicPartition
from tests.contracts.connector_publishing import PublishContract
from tests.contracts.connector_reading import ReadContract
from tests.contracts.connector_records import (
    DEADLINE,
    MURMUR2,
    Fill,
    MakeConnector,
    MakeTopic,
    ShownPositions,
    Values,
    Whole,
    batch_of,
    by_partition,
    everything,
    line,
    number,
    read_to_end,
    run,
    until,
)
from tests.contracts.connector_topics import TopicContract, WriterContract


class ConnectorContract(ReadContract, PublishContract, TopicContract, WriterContract):
    """The whole contract. Subclasses define `make_connector`, and `shown_positions`: what the system's own tools see of
    a job's positions, at the places asked for.

    `too_large` is the size in bytes of a value that the system refuses.
    """

    too_large: int = 2 << 20

    @pytest.fixture
    def fill(self, connector: Whole, topic: MakeTopic) -> Fill:
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
    def values(self, connector: Whole) -> Values:
        def read(topic: str) -> list[bytes]:
            return [value for one in everything(connector, topic) for value in one.batch.values]

        return read

    def test_topics_are_created_listed_and_deleted(self, connector: Whole, make_connector: MakeConnector) -> None:
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

    def test_a_topic_made_again_under_its_name_has_another_identity(self, connector: Whole, topic: MakeTopic) -> None:
        name = topic()
        before = connector.identity(name)
        connector.delete(name)
        connector.create(name, 1)
        assert connector.identity(name) != before
        assert connector.identity(name).partition("#")[0] == before.partition("#")[0]

    def test_a_record_comes_back_as_it_was_written(self, connector: Whole, topic: MakeTopic) -> None:
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
        self, connector: Whole, topic: MakeTopic, job: str
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
        self, connector: Whole, topic: MakeTopic, job: str
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
        self, connector: Whole, topic: MakeTopic, job: str
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

    def test_records_without_a_key_all_arrive(self, connector: Whole, topic: MakeTopic, job: str) -> None:
        name = topic(3)
        appender = connector.appender()
        for start in range(0, 300, 50):
            appender.append(batch_of(name, range(start, start + 50), key=None))
        appender.close()
        found = by_partition(everything(connector, name))
        assert sorted(n for numbers in found.values() for n in numbers) == list(range(300))

    def test_a_large_epoch_is_published_whole(self, connector: Whole, topic: MakeTopic, job: str) -> None:
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
        self, connector: Whole, topic: MakeTopic, job: str
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

    def test_one_publish_writes_several_topics_at_once(self, connector: Whole, topic: MakeTopic, job: str) -> None:
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

    def test_a_reader_that_waits_is_given_what_is_published(self, connector: Whole, topic: MakeTopic, job: str) -> None:
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
        self, connector: Whole, topic: MakeTopic, fill: Fill, job: str, shown_positions: ShownPositions
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
        self, connector: Whole, fill: Fill, job: str, shown_positions: ShownPositions
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
