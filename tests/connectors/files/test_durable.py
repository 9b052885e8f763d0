"""What files survive: when files and folders are synced, what is locked, and which errors of the system mean what."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import msgspec
import psutil
import pytest

from rayflow.connectors.files import parts
from rayflow.connectors.files.catalog import digest
from rayflow.connectors.files.connector import JsonLinesConnector
from rayflow.connectors.files.durable import locked, refused, sync_folder, write_synced
from rayflow.connectors.files.home import file_name
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import BrokerRefused, DiskFull, InvariantBroken, UnknownTopic
from rayflow.core.ids import Marker, SinkTask

TASK = SinkTask("out", 0)


def records(*values: bytes, topic: str = "t") -> EncodedBatch:
    return EncodedBatch(topic, [None] * len(values), list(values), [1] * len(values))


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Renames and syncs, in their order: "to NAME", "sync NAME SIZE"; for a folder "sync"."""
    found: list[str] = []
    replace = Path.replace

    def sync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        found.append("sync" if stat.S_ISDIR(status.st_mode) else f"sync {status.st_size}")

    def rename(self: Path, target: Path) -> Path:
        found.append(f"to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    return found


def test_a_file_is_synced_with_all_of_its_bytes_and_is_closed(tmp_path: Path, happened: list[str]) -> None:
    before = psutil.Process().num_fds()
    write_synced(tmp_path / "a", b"12345")
    sync_folder(tmp_path)
    with locked(tmp_path / "lock"):
        assert psutil.Process().num_fds() == before + 1
    assert happened == ["sync 5", "sync"]
    assert (tmp_path / "a").read_bytes() == b"12345"
    assert psutil.Process().num_fds() == before


def test_a_lock_keeps_others_out_until_it_ends(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("ab") as other:
        with locked(tmp_path / "lock"), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_error_of_the_system_says_whether_the_disk_is_full(tmp_path: Path) -> None:
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        assert isinstance(refused(OSError(code, "full"), tmp_path), DiskFull)
    other = refused(OSError(errno.EACCES, "denied"), tmp_path)
    assert isinstance(other, BrokerRefused)
    assert f"{tmp_path} cannot be written: denied" in str(other)


def test_parts_are_durable_before_markers_and_markers_before_the_epoch_counts(
    tmp_path: Path, happened: list[str]
) -> None:
    files = JsonLinesConnector(tmp_path)
    files.create("t", 1)
    assert happened == ["sync"]
    publisher = files.publisher("job", 0, "exactly_once")
    happened.clear()
    publisher.open([TASK])
    assert happened == ["sync 1", "to fence-0", "sync"]
    happened.clear()
    steps = publisher.publish(Marker("l", 1), {TASK: [records(b"1")], SinkTask("out", 1): [records(b"22")]}, {})
    for step in steps:
        happened.append(step)
    marker = len(msgspec.json.encode(Marker("l", 1)))
    assert [name if name.startswith("to marker") else name.partition("-l-")[0] for name in happened] == [
        "begun",
        "sync 2",
        "produced",
        "sync 3",
        "produced",
        f"sync {marker}",
        f"sync {marker}",
        "marked",
        "positioned",
        "committing",
        "to part-000000000001-00000",
        "to part-000000000001-00001",
        "sync",
        "to marker-out-0",
        "to marker-out-1",
        "sync",
        "committed",
    ]


def test_each_publisher_of_a_slot_writes_the_next_fence(tmp_path: Path) -> None:
    for fence in (b"1", b"2", b"3"):
        JsonLinesConnector(tmp_path).publisher("job", 7, "exactly_once").open([TASK])
        assert (tmp_path / ".rayflow" / "job-job" / "fence-7").read_bytes() == fence


def test_names_of_files_are_the_same_in_every_version() -> None:
    assert file_name("a b/c") == "a%20b%2Fc"
    assert file_name("x" * 80) == "x" * 80
    assert len(file_name("x" * 81)) == 32
    assert digest("job", "0") == digest("job", "0") != digest("job0")
    assert len(digest("job")) == 8


def test_a_closed_publisher_goes_no_further_and_leaves_no_hidden_file(tmp_path: Path) -> None:
    files = JsonLinesConnector(tmp_path)
    files.create("t", 1)
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    steps = publisher.publish(Marker("l", 1), {TASK: [records(b"1")]}, {})
    assert [next(steps), next(steps), next(steps)] == ["begun", "produced", "marked"]
    assert len(list((tmp_path / "t").iterdir())) == 1
    publisher.close()
    publisher.close()
    assert list((tmp_path / "t").iterdir()) == []
    assert list(steps) == []


def test_an_epoch_without_records_takes_every_step(tmp_path: Path) -> None:
    publisher = JsonLinesConnector(tmp_path).publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    steps = list(publisher.publish(Marker("l", 1), {TASK: []}, {}))
    assert steps == ["begun", "produced", "marked", "positioned", "committing", "committed"]
    assert list(publisher.flush()) == ["produced"]


def test_a_directory_that_is_deleted_during_a_publish_is_an_unknown_topic(tmp_path: Path) -> None:
    files = JsonLinesConnector(tmp_path)
    files.create("t", 1)
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    steps = publisher.publish(Marker("l", 1), {TASK: [records(b"1")]}, {})
    assert [next(steps), next(steps)] == ["begun", "produced"]
    for left in (tmp_path / "t").iterdir():
        left.unlink()
    (tmp_path / "t").rmdir()
    with pytest.raises(UnknownTopic):
        list(steps)
    assert publisher.markers([TASK]) == {TASK: None}


def test_a_sink_that_was_not_opened_cannot_be_published(tmp_path: Path) -> None:
    """Its markers would be beside another topic, where no fence protects them."""
    files = JsonLinesConnector(tmp_path)
    files.create("x/t", 1)
    files.create("y/t", 1)
    topics = {"a": "x/t"}
    publisher = files.publisher("job", 0, "exactly_once", topics)
    publisher.open([SinkTask("a", 0)])
    with pytest.raises(InvariantBroken):
        list(publisher.publish(Marker("l", 1), {SinkTask("b", 0): [records(b"1", topic="y/t")]}, {}))
    assert list((tmp_path / "y" / "t").iterdir()) == []
    publisher.open([SinkTask("a", 0), SinkTask("b", 0)])
    list(publisher.publish(Marker("l", 1), {SinkTask("b", 0): [records(b"1", topic="y/t")]}, {}))
    assert len(list((tmp_path / "y" / "t").iterdir())) == 1


def test_a_home_that_cannot_be_written_or_read_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "marker" / ".rayflow" / "job-job" / "marker-out-0").mkdir(parents=True)
    publisher = JsonLinesConnector(tmp_path / "marker").publisher("job", 0, "exactly_once")
    with pytest.raises(BrokerRefused, match=f"{tmp_path}/marker"):
        publisher.markers([TASK])
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".rayflow").write_text("")
    publisher = JsonLinesConnector(tmp_path / "home").publisher("job", 0, "exactly_once")
    with pytest.raises(BrokerRefused, match=f"{tmp_path}/home/.rayflow/job-job"):
        publisher.open([TASK])


def test_loose_parts_are_written_when_there_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: list[str]
) -> None:
    monkeypatch.setattr(parts, "_LARGE", 10)
    files = JsonLinesConnector(tmp_path)
    files.create("t", 1)
    appender = files.appender()
    written = []
    happened.clear()
    for size in (9, 1, 9, 1, 4, 5, 1):
        appender.append(records(b"1" * size))
        written.append(len(list((tmp_path / "t").iterdir())))
    assert written == [0, 1, 1, 2, 2, 2, 3]
    appender.flush()
    names = sorted(part.name for part in (tmp_path / "t").iterdir())
    assert all(name.split("-")[2] == "00000" and len(name.split("-")[1]) == 20 for name in names)
    assert happened == [
        f for size, name in zip((12, 12, 13), names, strict=True) for f in (f"sync {size}", f"to {name}", "sync")
    ]


def test_loose_parts_on_a_full_disk_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    files = JsonLinesConnector(tmp_path)
    files.create("t", 1)
    appender = files.appender()
    appender.append(records(b"1"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match=f"{tmp_path}/t"):
        appender.flush()
    assert list((tmp_path / "t").iterdir()) == []


def test_folders_that_cannot_be_made_or_deleted_are_refused(tmp_path: Path) -> None:
    files = JsonLinesConnector(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerRefused, match="file/t"):
        files.create("file/t", 1)
    (tmp_path / "t" / "x.jsonl").mkdir(parents=True)
    with pytest.raises(BrokerRefused, match=f"{tmp_path}/t"):
        files.delete("t")


def test_deleting_a_topic_keeps_files_of_other_kinds(tmp_path: Path) -> None:
    files = JsonLinesConnector(tmp_path)
    files.create("t", 1)
    (tmp_path / "t" / "note.txt").write_text("")
    (tmp_path / "t" / "a.jsonl").write_text("1\n")
    files.delete("t")
    assert [left.name for left in (tmp_path / "t").iterdir()] == ["note.txt"]
    files.create("t", 1)
