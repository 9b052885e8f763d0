"""JSON-lines files as a sink, besides the contract."""

from __future__ import annotations

import errno
import multiprocessing
import random
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from rayflow.connectors.files import publisher as publishing
from rayflow.connectors.files.connector import JsonLinesConnector
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import (
    BrokerRefused,
    DamagedObject,
    DiskFull,
    EncodeFailed,
    Fenced,
    InvariantBroken,
    TopicExists,
)
from rayflow.core.ids import Marker, SinkTask

TASK, OTHER = SinkTask("out", 0), SinkTask("out", 1)


def records(*values: bytes | None, topic: str = "t") -> EncodedBatch:
    return EncodedBatch(topic, [b"k"] * len(values), list(values), [1] * len(values))


@pytest.fixture
def files(tmp_path: Path) -> JsonLinesConnector:
    files = JsonLinesConnector(tmp_path)
    files.create("t", 1)
    return files


def parts(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("[!.]*"))}


def hidden(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.name.startswith(".")]


def test_each_epoch_and_sink_task_has_a_file(files: JsonLinesConnector, tmp_path: Path) -> None:
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK, OTHER])
    list(publisher.publish(Marker("l", 1), {TASK: [records(b"1"), records(b"2")], OTHER: [records(b"3")]}, {}))
    list(publisher.publish(Marker("l", 2), {TASK: [], OTHER: [records(b"4")]}, {}))
    found = parts(tmp_path / "t")
    assert [name.rpartition("-")[0] for name in found] == [
        "part-000000000001-00000-l",
        "part-000000000001-00001-l",
        "part-000000000002-00001-l",
    ]
    assert list(found.values()) == [b"1\n2\n", b"3\n", b"4\n"]
    assert publisher.open([TASK, OTHER]) == {TASK: Marker("l", 2), OTHER: Marker("l", 2)}
    assert hidden(tmp_path / "t") == []


def test_two_sinks_and_two_jobs_may_share_a_directory(files: JsonLinesConnector, tmp_path: Path) -> None:
    for job in ("job", "other/../job"):
        publisher = files.publisher(job, 0, "exactly_once")
        tasks = [SinkTask("a", 0), SinkTask("b/c", 0)]
        assert publisher.open(tasks) == dict.fromkeys(tasks)
        list(publisher.publish(Marker("l", 1), {task: [records(b"1")] for task in tasks}, {}))
    assert len(parts(tmp_path / "t")) == 4


def test_tombstones_are_left_out(files: JsonLinesConnector, tmp_path: Path) -> None:
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: [records(b"1", None, b"2")]}, {}))
    list(publisher.publish(Marker("l", 2), {TASK: [records(None)]}, {}))
    assert list(parts(tmp_path / "t").values()) == [b"1\n2\n"]


@pytest.mark.parametrize("value", [b"1\n2", b"\n", b"", b"1\r", b"\r"])
def test_a_value_that_is_no_line_is_refused(files: JsonLinesConnector, tmp_path: Path, value: bytes) -> None:
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    with pytest.raises(EncodeFailed):
        list(publisher.publish(Marker("l", 1), {TASK: [records(b"1"), records(value)]}, {}))
    assert parts(tmp_path / "t") == {}
    assert hidden(tmp_path / "t") == []


def test_an_epoch_cut_off_between_two_renames_is_repaired_by_publishing_it_again(
    files: JsonLinesConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = {TASK: [records(b"1")], OTHER: [records(b"2")]}
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK, OTHER])
    whole = Path.replace
    for renames in range(4):
        left = [renames]

        def replace(self: Path, target: Path, left: list[int] = left) -> Path:
            if not left[0]:
                raise OSError(errno.EIO, "cut off")
            left[0] -= 1
            return whole(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with pytest.raises(BrokerRefused):
                list(publisher.publish(Marker("l", renames + 1), epoch, {}))
        again = files.publisher("job", 0, "exactly_once")
        held = again.open([TASK, OTHER])
        assert Marker("l", renames + 1) not in (held[TASK], held[OTHER]) or renames == 3
        list(again.publish(Marker("l", renames + 1), epoch, {}))
        publisher = again
        assert len(parts(tmp_path / "t")) == 2 * (renames + 1)
    assert sorted(parts(tmp_path / "t").values()) == [b"1\n"] * 4 + [b"2\n"] * 4


def test_what_a_killed_publisher_left_behind_is_swept(files: JsonLinesConnector, tmp_path: Path) -> None:
    killed = files.publisher("job", 0, "exactly_once")
    killed.open([TASK])
    steps = killed.publish(Marker("l", 1), {TASK: [records(b"1")]}, {})
    assert [next(steps), next(steps)] == ["begun", "produced"]
    stays = files.publisher("job", 1, "exactly_once")
    stays.open([OTHER])
    others = stays.publish(Marker("l", 1), {OTHER: [records(b"2")]}, {})
    assert [next(others), next(others)] == ["begun", "produced"]
    assert len(hidden(tmp_path / "t")) == 2
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: [records(b"1")]}, {}))
    assert len(hidden(tmp_path / "t")) == 1
    list(others)
    assert sorted(parts(tmp_path / "t").values()) == [b"1\n", b"2\n"]


def test_a_full_disk_leaves_nothing_visible(
    files: JsonLinesConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK])

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "write_synced", full)
        with pytest.raises(DiskFull, match="t/"):
            list(publisher.publish(Marker("l", 1), {TASK: [records(b"1")]}, {}))
    assert parts(tmp_path / "t") == {}
    list(publisher.publish(Marker("l", 1), {TASK: [records(b"1")]}, {}))
    assert list(parts(tmp_path / "t").values()) == [b"1\n"]


@pytest.mark.parametrize("name", ["marker-out-0", "fence-0"])
def test_a_damaged_marker_or_fence_is_refused_by_name(files: JsonLinesConnector, tmp_path: Path, name: str) -> None:
    publisher = files.publisher("job", 0, "exactly_once")
    publisher.open([TASK])
    list(publisher.publish(Marker("l", 1), {TASK: []}, {}))
    (tmp_path / ".rayflow" / "job-job" / name).write_bytes(b"garbage")
    with pytest.raises(DamagedObject, match=name):
        publisher.open([TASK])


def test_markers_lie_beside_the_topic_whatever_the_working_directory_is(tmp_path: Path) -> None:
    """`rf.jsonl("/data/t")` is a topic of the working directory's connector."""
    topics = {name: str(tmp_path / "data" / folder / "t") for name, folder in (("a", "x"), ("b", "y"), ("c", "x/../y"))}
    sinks = [SinkTask(name, 0) for name in topics]
    for epoch, here in enumerate(("here", "there"), 1):
        files = JsonLinesConnector(tmp_path / here)
        for topic in topics.values():
            Path(topic).mkdir(parents=True, exist_ok=True)
        publisher = files.publisher("job", 0, "exactly_once", topics)
        assert set(publisher.open(sinks).values()) == {Marker("l", epoch - 1) if epoch > 1 else None}
        outputs = {sink: [records(b"1", topic=topics[sink.operator])] for sink in sinks}
        list(publisher.publish(Marker("l", epoch), outputs, {}))
    assert sorted(str(found.relative_to(tmp_path)) for found in tmp_path.rglob("marker-*")) == [
        "data/x/.rayflow/job-job/marker-a-0",
        "data/y/.rayflow/job-job/marker-b-0",
        "data/y/.rayflow/job-job/marker-c-0",
    ]
    old = JsonLinesConnector(tmp_path / "here").publisher("job", 0, "exactly_once", topics)
    old.open(sinks)
    JsonLinesConnector(tmp_path / "there").publisher("job", 0, "exactly_once", {"b": topics["b"]}).open(sinks[1:2])
    with pytest.raises(Fenced):
        list(old.publish(Marker("l", 3), {sink: [] for sink in sinks}, {}))
    assert {len(parts(Path(topic))) for topic in topics.values()} == {2, 4}


def test_jobs_of_one_name_in_different_places_do_not_know_of_each_other(tmp_path: Path) -> None:
    files = JsonLinesConnector(tmp_path)
    publishers = []
    for place in ("x", "y"):
        topic = str(tmp_path / place / "t")
        files.create(topic, 1)
        publishers.append((files.publisher("job", 0, "exactly_once", {"out": topic}), topic))
    assert [publisher.open([TASK]) for publisher, _ in publishers] == [{TASK: None}] * 2
    for publisher, topic in publishers:
        list(publisher.publish(Marker(topic[-3], 1), {TASK: [records(b"1", topic=topic)]}, {}))
    assert [publisher.open([TASK]) for publisher, _ in publishers] == [{TASK: Marker(p, 1)} for p in "xy"]


def test_a_publisher_must_be_opened_first(files: JsonLinesConnector) -> None:
    with pytest.raises(InvariantBroken):
        list(files.publisher("job", 0, "exactly_once").publish(Marker("l", 1), {TASK: []}, {}))


def test_a_directory_is_made_once_and_deleted_with_its_parts(files: JsonLinesConnector, tmp_path: Path) -> None:
    files.create("t", 4)
    appender = files.appender()
    appender.append(records(b"1"))
    appender.close()
    with pytest.raises(TopicExists):
        files.create("t", 1)
    assert files.partitions("t") == 1
    files.delete("t")
    assert not (tmp_path / "t").exists()
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    with pytest.raises(BrokerRefused):
        files.delete("a.jsonl")
    with pytest.raises(TopicExists):
        files.create("a.jsonl", 1)


def publish_epochs(base: Path, progress: Connection) -> None:
    """Publish one epoch after the other, from the one after the older marker, and say each step, until killed."""
    publisher = JsonLinesConnector(base).publisher("job", 0, "exactly_once")
    held = publisher.open([TASK, OTHER])
    epoch = min(marker.epoch if marker else 0 for marker in held.values())
    while True:
        epoch += 1
        outputs = {task: [records(b"%d" % epoch, topic=t) for t in ("t", "u")] for task in (TASK, OTHER)}
        for step in publisher.publish(Marker("l", epoch), outputs, {}):
            progress.send(step)


def test_a_publisher_killed_many_times_writes_each_epoch_once(files: JsonLinesConnector, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    files.create("u", 1)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["rayflow.connectors.embedded.connector"])
    for _ in range(12):
        here, there = processes.Pipe(duplex=False)
        process = processes.Process(target=publish_epochs, args=(tmp_path, there))
        process.start()
        there.close()
        step = ""
        for _ in range(chance.randrange(1, 40)):
            step = here.recv()
        while step != "committing" and chance.random() < 0.9:
            step = here.recv()
        process.kill()
        process.join()
        here.close()
    publisher = files.publisher("job", 0, "exactly_once")
    held = publisher.open([TASK, OTHER])
    last = max(marker.epoch for marker in held.values() if marker)
    for topic in ("t", "u"):
        found = sorted(int(data) for data in parts(tmp_path / topic).values())
        assert [n for n in found if n <= last] == sorted([*range(1, last + 1)] * 2)
        assert set(found) <= set(range(1, last + 2))
