"""What the embedded log does besides the contract."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import psutil
import pytest

from rayflow.connectors.embedded import connector as connecting
from rayflow.connectors.embedded import layout
from rayflow.connectors.embedded import reader as reading
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.connectors.embedded.environment import acquire
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerRefused, Fenced, InvariantBroken, SourceDataLost, UnknownTopic
from rayflow.core.ids import Marker, SinkTask, TopicPartition

TASK = SinkTask("out", 0)
PLACE = TopicPartition("t", 0)


@pytest.fixture
def log(tmp_path: Path) -> EmbeddedConnector:
    return EmbeddedConnector(tmp_path / "log")


def records(*values: bytes, topic: str = "t", partition: int | None = None) -> EncodedBatch:
    return EncodedBatch(topic, [b"k"] * len(values), list(values), [1] * len(values), None, partition)


def append(log: EmbeddedConnector, *values: bytes) -> None:
    appender = log.appender()
    appender.append(records(*values))
    appender.close()


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 250])
def test_names_that_kafka_would_refuse_are_refused(log: EmbeddedConnector, name: str) -> None:
    with pytest.raises(BrokerRefused):
        log.create(name, 1)
    log.create("x" * 249, 1)


def test_a_topic_has_at_least_one_partition(log: EmbeddedConnector) -> None:
    with pytest.raises(BrokerRefused):
        log.create("t", 0)


def test_a_partition_that_is_not_there_cannot_be_written(log: EmbeddedConnector) -> None:
    log.create("t", 2)
    appender = log.appender()
    for partition in (-1, 2):
        appender.append(records(b"1", partition=partition))
        with pytest.raises(UnknownTopic, match="only 2"):
            appender.flush()
    appender.close()


def test_a_reader_of_a_deleted_topic_is_told(log: EmbeddedConnector) -> None:
    log.create("t", 1)
    append(log, b"1", b"2")
    reader = log.reader("g")
    reader.assign({PLACE: None})
    log.delete("t")
    with pytest.raises(UnknownTopic):
        reader.poll(10, 0.0)


def test_a_topic_made_again_is_another_topic(log: EmbeddedConnector) -> None:
    log.create("t", 1)
    append(log, b"1", b"2", b"3")
    reader = log.reader("g")
    reader.assign({PLACE: None})
    assert reader.poll(2, 0.0)[0].next_position == 2
    reader.commit({PLACE: 2}, 1)
    log.delete("t")
    log.create("t", 1)
    append(log, b"4")
    assert log.positions("g") == {}
    with pytest.raises(UnknownTopic):
        reader.poll(10, 0.0)
    with pytest.raises(SourceDataLost):
        reader.assign({PLACE: 2})
    reader.assign({PLACE: None})
    assert reader.poll(10, 0.0)[0].batch.values == [b"4"]


def test_deleting_a_topic_deletes_its_records_only(log: EmbeddedConnector) -> None:
    log.create("t", 2)
    log.create("u", 1)
    append(log, b"1", b"2")
    appender = log.appender()
    appender.append(records(b"3", topic="u"))
    appender.close()
    log.delete("t")
    assert [(info.name, info.records) for info in log.topics()] == [("u", 1)]
    reader = log.reader("g")
    reader.assign({TopicPartition("u", 0): None})
    assert reader.poll(10, 0.0)[0].batch.values == [b"3"]


def test_a_publish_to_a_topic_made_again_in_the_meantime_is_refused(log: EmbeddedConnector) -> None:
    log.create("t", 1)
    publisher = log.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    steps = publisher.publish(Marker("l", 1), {TASK: [records(b"1")]}, {})
    assert [next(steps), next(steps)] == ["begun", "produced"]
    log.delete("t")
    log.create("t", 1)
    with pytest.raises(UnknownTopic):
        list(steps)
    assert log.topics()[0].records == 0


def test_a_fenced_publisher_cannot_append_either(log: EmbeddedConnector) -> None:
    log.create("t", 1)
    old, new = log.publisher("job", 0, "at_least_once"), log.publisher("job", 0, "at_least_once")
    old.open([TASK])
    old.append([records(b"1")])
    new.open([TASK])
    with pytest.raises(Fenced):
        old.append([records(b"2")])
    new.append([records(b"3")])
    assert log.topics()[0].records == 2


def test_a_publisher_must_be_opened_first(log: EmbeddedConnector) -> None:
    with pytest.raises(InvariantBroken):
        list(log.publisher("job", 0, "exactly_once").publish(Marker("l", 1), {TASK: []}, {}))


def test_a_publish_whose_publisher_is_closed_goes_no_further(log: EmbeddedConnector) -> None:
    log.create("t", 1)
    publisher = log.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    steps = publisher.publish(Marker("l", 1), {TASK: [records(b"1")]}, {})
    assert next(steps) == "begun"
    publisher.close()
    publisher.close()
    assert list(steps) == []
    assert log.topics()[0].records == 0


def test_an_epoch_without_records_takes_every_step(log: EmbeddedConnector) -> None:
    publisher = log.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    steps = list(publisher.publish(Marker("l", 1), {TASK: []}, {}))
    assert steps == ["begun", "produced", "marked", "positioned", "committing", "committed"]


def test_an_appender_writes_when_it_holds_a_blob(log: EmbeddedConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "BLOB_BYTES", 10)
    log.create("t", 1)
    appender = log.appender()
    visible = []
    for size in (9, 1, 9, 1, 4, 5, 1):
        appender.append(records(bytes(size)))
        visible.append(log.topics()[0].records)
    assert visible == [0, 2, 2, 4, 4, 4, 7]
    appender.close()


def test_an_appender_that_fails_to_flush_is_closed(tmp_path: Path) -> None:
    log = EmbeddedConnector(tmp_path)
    appender = log.appender()
    appender.append(records(b"1", topic="none"))
    with pytest.raises(UnknownTopic):
        appender.close()
    appender.close()
    log.create("t", 1)
    log.close()
    before = psutil.Process().num_fds()
    log.topics()
    assert psutil.Process().num_fds() > before
    log.close()
    assert psutil.Process().num_fds() == before


def test_names_of_any_length_keep_their_markers_apart(log: EmbeddedConnector) -> None:
    long = "é" * 600
    tasks = [SinkTask(long + "a", 1), SinkTask(long + "b", 1), SinkTask("a", 1)]
    publisher = log.publisher(long, 0, "exactly_once")
    publisher.open(tasks)
    for epoch, task in enumerate(tasks, 1):
        list(publisher.publish(Marker("l", epoch), {task: []}, {TopicPartition(long, 0): epoch}))
    assert publisher.open(tasks) == {task: Marker("l", epoch) for epoch, task in enumerate(tasks, 1)}
    assert log.positions(long) == {TopicPartition(long, 0): 3}


def test_many_small_appends_are_read_in_one_batch(log: EmbeddedConnector) -> None:
    log.create("t", 1)
    for n in range(50):
        append(log, b"%d" % n)
    reader = log.reader("g")
    reader.assign({PLACE: 7})
    (one,) = reader.poll(40, 0.0)
    assert one.batch.values == [b"%d" % n for n in range(7, 47)]
    assert one.batch.offsets == range(7, 47)
    assert one.batch.headers is None


def test_a_poll_stops_when_it_has_read_much(log: EmbeddedConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_POLL_BYTES", 10_000)
    log.create("t", 1)
    for _ in range(10):
        append(log, bytes(4_000))
    reader = log.reader("g")
    reader.assign({PLACE: None})
    assert [len(one.batch) for _ in range(4) for one in reader.poll(100, 0.0)] == [3, 3, 3, 1]


def test_a_long_partition_does_not_starve_the_others(log: EmbeddedConnector) -> None:
    log.create("t", 3)
    appender = log.appender()
    for partition in range(3):
        appender.append(records(*[b"v"] * 100, partition=partition))
    appender.close()
    reader = log.reader("g")
    reader.assign({TopicPartition("t", p): None for p in range(3)})
    assert {one.batch.origin.partition for _ in range(3) for one in reader.poll(10, 0.0)} == {0, 1, 2}


def test_connectors_and_readers_of_one_path_share_what_is_open(tmp_path: Path) -> None:
    first, second = EmbeddedConnector(tmp_path), EmbeddedConnector(tmp_path / ".." / tmp_path.name)
    first.create("t", 1)
    reader = second.reader("g")
    reader.assign({PLACE: None})
    append(first, b"1")
    first.close()
    first.close()
    second.close()
    assert reader.poll(10, 0.0)[0].batch.values == [b"1"]
    reader.close()
    assert [info.records for info in first.topics()] == [1]
    first.close()


def test_a_partition_without_records_has_no_batch_whatever_its_neighbours_have(
    log: EmbeddedConnector, tmp_path: Path
) -> None:
    log.create("t", 3)
    appender = log.appender()
    for partition in (0, 2):
        appender.append(records(b"a", b"b", partition=partition))
    appender.close()
    environment = acquire(tmp_path / "log")
    with environment.read() as txn:
        topic = layout.find_topic(txn, "t").number
        found = [layout.batch_at(txn, topic, partition, 1) for partition in range(3)]
    environment.release()
    assert [batch and batch[0] for batch in found] == [0, None, 0]


def test_what_is_closed_twice_takes_nothing_from_its_neighbours(tmp_path: Path) -> None:
    log = EmbeddedConnector(tmp_path / "log")
    log.create("t", 1)
    publisher, reader, appender = log.publisher("job", 0, "exactly_once"), log.reader("job"), log.appender()
    neighbour = log.publisher("job", 1, "exactly_once")
    neighbour.open([TASK])
    for closing in (publisher, reader, appender, log):
        closing.close()
        closing.close()
    list(neighbour.publish(Marker("lineage", 1), {TASK: [records(b"v")]}, {}))
    assert neighbour.markers([TASK]) == {TASK: Marker("lineage", 1)}
    neighbour.close()


def _append_in_process(path: Path, start: int) -> None:
    log = EmbeddedConnector(path)
    for n in range(start, start + 30):
        append(log, b"%d" % n)
    log.close()


def test_several_processes_write_while_another_reads(tmp_path: Path) -> None:
    log = EmbeddedConnector(tmp_path)
    log.create("t", 1)
    processes = multiprocessing.get_context("forkserver")
    writers = [processes.Process(target=_append_in_process, args=(tmp_path, at)) for at in (0, 1000, 2000)]
    for writer in writers:
        writer.start()
    reader = log.reader("g")
    reader.assign({PLACE: None})
    values: list[int] = []
    while len(values) < 90:
        polled = reader.poll(1_000, 30.0)
        assert polled
        for one in polled:
            assert one.batch.offsets == range(len(values), len(values) + len(one.batch))
            values += map(int, one.batch.values)
    for writer in writers:
        writer.join()
    for at in (0, 1000, 2000):
        assert [n for n in values if at <= n < at + 1000] == list(range(at, at + 30))
    reader.close()
    log.close()
