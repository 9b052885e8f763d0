"""How the embedded log's reader shares its polls between partitions, waits, and meets rows that are gone."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rayflow.connectors.base import Polled
from rayflow.connectors.embedded import layout
from rayflow.connectors.embedded import reader as reading
from rayflow.connectors.embedded.blob import Columns, encode
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.connectors.embedded.environment import acquire
from rayflow.connectors.embedded.reader import EmbeddedReader
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import DamagedObject, SourceDataLost, UnknownTopic
from rayflow.core.ids import TopicPartition

ZERO, ONE, TWO = (TopicPartition("t", partition) for partition in range(3))
RECORDS = struct.Struct(">cIIQ")
"""The key of a stored batch: see `layout.py`."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedConnector]:
    log = EmbeddedConnector(tmp_path / "log")
    log.create("t", 3)
    yield log
    log.close()


def append(log: EmbeddedConnector, count: int, partition: int = 0, size: int = 1) -> None:
    """Append one stored batch."""
    appender = log.appender()
    values: list[bytes | None] = [bytes(size)] * count
    appender.append(EncodedBatch("t", [None] * count, values, [1] * count, None, partition))
    appender.close()


def reader_of(log: EmbeddedConnector, *places: TopicPartition) -> EmbeddedReader:
    reader = log.reader("g")
    reader.assign(dict.fromkeys(places))
    return reader


def shape(polled: list[Polled]) -> list[tuple[int, int, int]]:
    """Partition, first offset and number of records of each batch."""
    return [(one.batch.origin.partition, one.batch.offsets[0], len(one.batch)) for one in polled]


def test_a_poll_that_is_filled_by_one_partition_gives_nothing_of_the_others(log: EmbeddedConnector) -> None:
    for partition in range(3):
        append(log, 10, partition)
    reader = reader_of(log, ZERO, ONE, TWO)
    assert shape(reader.poll(10, 0.0)) == [(0, 0, 10)]
    assert shape(reader.poll(14, 0.0)) == [(1, 0, 10), (2, 0, 4)]
    assert shape(reader.poll(1, 0.0)) == [(2, 4, 1)]
    assert shape(reader.poll(10, 0.0)) == [(2, 5, 5)]
    assert reader.poll(10, 0.0) == []


@pytest.mark.parametrize("partitions", [2, 3])
def test_each_poll_starts_with_the_partition_after_the_one_that_the_last_poll_started_with(
    log: EmbeddedConnector, partitions: int
) -> None:
    for partition in range(partitions):
        append(log, 100, partition)
    reader = reader_of(log, *(TopicPartition("t", partition) for partition in range(partitions)))
    first = [reader.poll(5, 0.0)[0].batch.origin.partition for _ in range(2 * partitions)]
    assert first == [*range(partitions)] * 2


def test_partitions_share_the_bytes_of_a_poll(log: EmbeddedConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    for partition in range(3):
        append(log, 1, partition, 4_000)
        append(log, 1, partition, 4_000)
    reader = reader_of(log, ZERO, ONE, TWO)
    monkeypatch.setattr(reading, "_POLL_BYTES", 10_000)
    assert shape(reader.poll(100, 0.0)) == [(0, 0, 2), (1, 0, 1)]
    assert shape(reader.poll(100, 0.0)) == [(1, 1, 1), (2, 0, 2)]


def test_a_poll_waits_in_short_pauses_and_gives_what_has_come(
    log: EmbeddedConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = reader_of(log, ZERO)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            append(log, 2)

    monkeypatch.setattr(time, "sleep", pause)
    assert shape(reader.poll(10, 5.0)) == [(0, 0, 2)]
    assert len(pauses) == 3
    assert all(0 < seconds < 0.1 for seconds in pauses)


def test_a_poll_of_nothing_ends_with_its_time(log: EmbeddedConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(log, ZERO)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    began = time.monotonic()
    assert reader.poll(10, 0.05) == []
    assert time.monotonic() - began >= 0.05
    assert pauses
    pauses.clear()
    assert reader.poll(10, 0.0) == []
    assert pauses == []


def test_a_reader_at_the_end_that_is_assigned_anew_reads_again(log: EmbeddedConnector) -> None:
    append(log, 2)
    reader = reader_of(log, ZERO)
    assert shape(reader.poll(10, 0.0)) == [(0, 0, 2)]
    assert reader.poll(10, 0.0) == []
    reader.assign({ZERO: 1})
    assert shape(reader.poll(10, 0.0)) == [(0, 1, 1)]


def test_a_part_of_stored_batches_is_read_from_any_position(log: EmbeddedConnector) -> None:
    for count in (4, 3):
        append(log, count)
    reader = log.reader("g")
    for position in range(7):
        for at_once in range(1, 8):
            reader.assign({ZERO: position})
            (one,) = reader.poll(at_once, 0.0)
            expected = min(at_once, 7 - position)
            assert one.batch.offsets == range(position, position + expected)
            assert len(one.batch.values) == len(one.batch.keys) == len(one.batch.timestamps) == expected


def test_a_paused_reader_gives_nothing_until_it_is_resumed(log: EmbeddedConnector) -> None:
    append(log, 2)
    reader = reader_of(log, ZERO)
    reader.pause()
    assert reader.poll(10, 0.0) == []
    reader.resume()
    assert shape(reader.poll(10, 0.0)) == [(0, 0, 2)]


@pytest.mark.parametrize("partition", [-1, 3])
def test_a_partition_outside_of_the_topic_is_refused(log: EmbeddedConnector, partition: int) -> None:
    with pytest.raises(UnknownTopic, match="only 3"):
        log.reader("g").assign({TopicPartition("t", partition): None})


@pytest.mark.parametrize("position", [-1, 3])
def test_a_position_outside_of_the_partition_is_refused(log: EmbeddedConnector, position: int) -> None:
    append(log, 2)
    with pytest.raises(SourceDataLost, match="ends at 2"):
        log.reader("g").assign({ZERO: position})


def test_closing_a_reader_twice_leaves_the_log_open_for_others(log: EmbeddedConnector) -> None:
    append(log, 2)
    log.close()
    first, second = reader_of(log, ZERO), reader_of(log, ZERO)
    before = psutil.Process().num_fds()
    first.close()
    first.close()
    assert shape(second.poll(10, 0.0)) == [(0, 0, 2)]
    assert first.poll(10, 0.0) == []
    second.close()
    assert psutil.Process().num_fds() < before


def test_a_stored_batch_that_is_missing_or_short_is_refused_with_its_place(log: EmbeddedConnector) -> None:
    append(log, 3, 0)
    append(log, 3, 1)
    held = acquire(log.path)
    with held.read() as txn:
        number = layout.find_topic(txn, "t").number
    with held.write() as txn:
        txn.delete(RECORDS.pack(b"r", number, 1, 0))
        txn.put(RECORDS.pack(b"r", number, 0, 0), encode(Columns([None] * 2, [b"v"] * 2, [1] * 2)))
    held.release()
    for place, position, what in ((ONE, 1, "missing"), (ZERO, 2, "shorter")):
        reader = log.reader("g")
        reader.assign({place: position})
        with pytest.raises(DamagedObject, match=what) as damaged:
            reader.poll(10, 0.0)
        assert damaged.value.where == {"topic": "t", "partition": place.partition, "offset": position}
        reader.close()


def test_a_reader_waits_for_a_writer_of_another_thread(log: EmbeddedConnector) -> None:
    reader = reader_of(log, ZERO)
    writer = threading.Thread(target=append, args=(log, 1))
    writer.start()
    assert shape(reader.poll(10, 60.0)) == [(0, 0, 1)]
    writer.join()
