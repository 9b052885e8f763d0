"""The rows of the embedded log: what they are called is a stored format, and what they count belongs to publishers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest

from rayflow.connectors.embedded import layout
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.connectors.embedded.environment import Environment, acquire
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import FormatTooNew, UnknownTopic
from rayflow.core.ids import Marker, SinkTask, TopicPartition


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Environment]:
    held = acquire(tmp_path)
    yield held
    held.release()


def test_a_new_log_has_a_format_and_an_identity_of_its_own(tmp_path: Path) -> None:
    identities = set()
    for name in ("a", "b"):
        log = EmbeddedConnector(tmp_path / name)
        log.create("t", 1)
        identities.add(log.identity("t").partition("#")[0])
        log.close()
        with lmdb.open(str(tmp_path / name)) as env, env.begin() as txn:
            assert txn.get(b"v") == struct.pack(">Q", 1)
            assert len(txn.get(b"i")) == 16
    assert len(identities) == 2


def test_a_log_that_two_processes_create_at_once_has_the_identity_of_the_first(held: Environment) -> None:
    class Late:
        """Sees the log as it was before the other process created it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(held, name)

        @contextmanager
        def read(self) -> Iterator[dict[bytes, bytes]]:
            yield {}

    layout.prepare(held)
    with held.read() as txn:
        before = layout.identity_of(txn)
    layout.prepare(Late())  # type: ignore[arg-type]
    with held.read() as txn:
        assert layout.identity_of(txn) == before != ""


def test_a_log_that_was_refused_can_be_replaced_in_the_same_process(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=1 << 30) as env, env.begin(write=True) as txn:
        txn.put(b"v", struct.pack(">Q", 2))
    with pytest.raises(FormatTooNew, match=f"{tmp_path} has format 2"):
        EmbeddedConnector(tmp_path).topics()
    (tmp_path / "data.mdb").unlink()
    log = EmbeddedConnector(tmp_path)
    assert log.topics() == []
    log.close()


def test_each_publisher_of_a_slot_raises_its_fence_by_one(held: Environment) -> None:
    with held.write() as txn:
        assert layout.fence_of(txn, "job", 0) == 0
        assert [layout.raise_fence(txn, "job", 0) for _ in range(3)] == [1, 2, 3]
        assert [layout.fence_of(txn, "job", slot) for slot in (0, 1)] == [3, 0]


def test_a_name_that_would_not_fit_into_a_key_is_hashed(held: Environment) -> None:
    marker = Marker("l", 1)
    lengths = {}
    for size in range(480, 520):
        key, _ = layout.marker_row("j" * size, SinkTask("o", 0), marker)
        assert key[:1] == b"m"
        lengths[len(key)] = size
    assert sorted(lengths)[0] == 65
    assert sorted(lengths)[-1] == 501


def test_topics_have_numbers_of_their_own_and_only_their_own_rows(held: Environment) -> None:
    layout.prepare(held)
    with held.write() as txn:
        for name in ("a", "b", "c"):
            layout.create_topic(txn, name, 2)
        numbers = [layout.find_topic(txn, name).number for name in ("a", "b", "c")]
        assert len(set(numbers)) == 3
        for number in numbers:
            for partition in (0, 1):
                layout.append(txn, number, partition, bytearray(b"%d-%d" % (number, partition)), 3)
            txn.put(*layout.position_row("g", TopicPartition("abc"[numbers.index(number)], 0), 1))
        layout.delete_topic(txn, "b")
        with pytest.raises(UnknownTopic):
            layout.find_topic(txn, "b")
        assert [(info.name, info.records) for info in layout.list_topics(txn)] == [("a", 6), ("c", 6)]
        assert layout.positions_of(txn, "g") == {TopicPartition("a", 0): 1, TopicPartition("c", 0): 1}
        for partition in (0, 1):
            assert layout.end_of(txn, numbers[1], partition) == 0
            assert layout.batch_at(txn, numbers[1], partition, 0) is None
            for number in (numbers[0], numbers[2]):
                found = layout.batch_at(txn, number, partition, 2)
                assert found is not None
                assert (found[0], bytes(found[1])) == (0, b"%d-%d" % (number, partition))


def test_a_batch_is_found_by_each_position_in_it(held: Environment) -> None:
    layout.prepare(held)
    with held.write() as txn:
        layout.create_topic(txn, "t", 2)
        number = layout.find_topic(txn, "t").number
        assert layout.batch_at(txn, number, 1, 0) is None
        for count in (2, 1, 3):
            layout.append(txn, number, 0, bytearray(b"%d" % count), count)
        found = [layout.batch_at(txn, number, 0, position) for position in range(6)]
        assert [(one[0], bytes(one[1])) for one in found if one] == [
            *[(0, b"2")] * 2,
            (2, b"1"),
            *[(3, b"3")] * 3,
        ]
        assert layout.batch_at(txn, number, 1, 5) is None


def test_the_check_counts_topics_and_records(tmp_path: Path) -> None:
    log = EmbeddedConnector(tmp_path)
    for name in ("empty", "t"):
        log.create(name, 1)
    appender = log.appender()
    appender.append(EncodedBatch("t", [None] * 3, [b"v"] * 3, [1] * 3))
    appender.close()
    assert f"embedded log at {tmp_path}: 2 topics, 3 records" in log.check()
    log.close()
