"""Files that are not as they were written."""

from __future__ import annotations

import random
import shutil
import struct
from pathlib import Path

import lmdb
import pytest

from rayflow.connectors.embedded import environment
from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import DamagedObject, DiskFull, FormatTooNew, InvalidConnector, RayflowError
from rayflow.core.ids import Marker, SinkTask, TopicPartition

TASK = SinkTask("out", 0)


def records(count: int, size: int = 100) -> EncodedBatch:
    return EncodedBatch("t", [b"k"] * count, [b"%b%08d" % (b"v" * size, n) for n in range(count)], [1] * count)


def write(path: Path, batches: int = 20) -> Path:
    """A log with a topic "t" and some batches; the path of its data file."""
    log = EmbeddedConnector(path)
    log.create("t", 1)
    appender = log.appender()
    for _ in range(batches):
        appender.append(records(200))
        appender.flush()
    appender.close()
    log.close()
    return path / "data.mdb"


def read(path: Path) -> int:
    """Read everything; the number of records."""
    log = EmbeddedConnector(path)
    try:
        reader = log.reader("g")
        try:
            reader.assign({TopicPartition("t", 0): None})
            count, end = 0, reader.ends()[TopicPartition("t", 0)]
            while count < end:
                polled = reader.poll(10_000, 0.0)
                assert polled
                count += sum(len(one.batch) for one in polled)
            return count
        finally:
            reader.close()
    finally:
        log.close()


def test_a_file_that_is_cut_short_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    data = write(tmp_path / "log")
    size = data.stat().st_size
    chance = random.Random(7)
    for length in [1, 100, 4095, 4096, 4200, 8191, 8192, size - 4096, *(chance.randrange(size) for _ in range(40))]:
        shutil.rmtree(tmp_path / "cut", ignore_errors=True)
        (tmp_path / "cut").mkdir()
        (tmp_path / "cut" / "data.mdb").write_bytes(data.read_bytes()[:length])
        with pytest.raises(DamagedObject, match=str(tmp_path / "cut" / "data.mdb")):
            read(tmp_path / "cut")


def test_an_empty_file_is_a_new_log(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").touch()
    log = EmbeddedConnector(tmp_path)
    assert log.topics() == []
    log.close()


def test_a_file_that_lacks_only_pages_without_content_is_read(tmp_path: Path) -> None:
    env = lmdb.open(str(tmp_path), map_size=1 << 30)
    with env.begin(write=True) as txn:
        txn.put(b"z", b"x" * 50_000)
    with env.begin(write=True) as txn:
        txn.delete(b"z")
    for n in range(5):
        with env.begin(write=True) as txn:
            txn.put(b"y%d" % n, b"small")
    last = env.info()["last_pgno"]
    env.close()
    data = tmp_path / "data.mdb"
    data.write_bytes(data.read_bytes()[: last * 4096])
    log = EmbeddedConnector(tmp_path)
    log.create("t", 1)
    assert [info.name for info in log.topics()] == ["t"]
    log.close()


@pytest.mark.parametrize("garbage", [b"\x00" * 20_000, b"garbage!" * 4_000, b"{}"])
def test_a_file_of_garbage_is_refused_by_name(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(garbage)
    with pytest.raises(DamagedObject, match=str(tmp_path)):
        EmbeddedConnector(tmp_path).topics()


def test_records_that_have_changed_on_disk_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "log")
    content = bytearray(data.read_bytes())
    content[content.rindex(b"v" * 50)] ^= 1
    data.write_bytes(content)
    with pytest.raises(DamagedObject, match="checksum"):
        read(tmp_path / "log")


def test_a_damaged_log_can_be_replaced_in_the_same_process(tmp_path: Path) -> None:
    data = write(tmp_path / "log")
    whole = data.read_bytes()
    data.write_bytes(whole[:9000])
    with pytest.raises(DamagedObject):
        read(tmp_path / "log")
    data.write_bytes(whole)
    assert read(tmp_path / "log") == 4000


def test_a_log_of_a_newer_rayflow_is_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=1 << 30) as env, env.begin(write=True) as txn:
        txn.put(b"v", struct.pack(">Q", 2))
    with pytest.raises(FormatTooNew):
        EmbeddedConnector(tmp_path).topics()


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidConnector, match="file"):
        EmbeddedConnector(tmp_path / "file").topics()


def test_a_log_that_is_full_refuses_the_whole_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "MAP_SIZE", 2 << 20)
    log = EmbeddedConnector(tmp_path)
    log.create("t", 1)
    publisher = log.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: [records(10)]}, {}))
    with pytest.raises(DiskFull):
        list(publisher.publish(Marker("l", 2), {TASK: [records(10_000, 300)]}, {}))
    assert publisher.open([TASK]) == {TASK: Marker("l", 1)}
    assert [info.records for info in log.topics()] == [10]
    list(publisher.publish(Marker("l", 2), {TASK: [records(10)]}, {}))
    assert [info.records for info in log.topics()] == [20]
    publisher.close()
    log.close()


def test_a_disk_that_is_full_refuses_the_whole_epoch(tmp_path: Path) -> None:
    import resource

    log = EmbeddedConnector(tmp_path)
    log.create("t", 1)
    publisher = log.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: [records(10)]}, {}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(DiskFull):
            list(publisher.publish(Marker("l", 2), {TASK: [records(10_000, 300)]}, {}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert publisher.open([TASK]) == {TASK: Marker("l", 1)}
    list(publisher.publish(Marker("l", 2), {TASK: [records(10_000, 300)]}, {}))
    publisher.close()
    log.close()
    assert read(tmp_path) == 10_010


def test_an_error_of_the_library_comes_with_the_path(tmp_path: Path) -> None:
    held = environment.acquire(tmp_path)
    with pytest.raises(RayflowError, match=str(tmp_path)), held.write() as txn:
        txn.put(b"", b"an empty key is refused")
    held.release()
