"""What `rayflow/checkpoint/store.py` promises, on every store: a folder, memory, and an S3 server."""

from __future__ import annotations

import logging
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.sealed import TaskSealed
from rayflow.checkpoint.segment import SegmentReader, encode_segment
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import CheckpointStoreFailed, ObjectExists, ObjectMissing
from rayflow.core.ids import TaskId
from rayflow.state.base import Delta

Open = Callable[[], CheckpointStore]


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """moto's S3 on a free loopback port. One request at a time: its own check and write are not one step."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/bucket", method="PUT")).read()
    yield endpoint
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["file", "memory", "s3"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the same store each time."""
    unique = uuid.uuid4().hex
    uri = {"file": f"file:{tmp_path}/store", "memory": f"memory:{unique}", "s3": f"s3://bucket/jobs/{unique}"}
    if request.param == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3_endpoint"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
    return lambda: open_store(uri[request.param])


@pytest.fixture
def store(reopen: Open) -> CheckpointStore:
    return reopen()


@pytest.mark.parametrize("parts", [[b"one", b"", b"two"], [b""], [], [b"\0" * 1000]])
def test_an_object_is_its_parts_one_after_the_other(store: CheckpointStore, parts: list[bytes]) -> None:
    store.put("a/b/c", parts)
    assert store.get("a/b/c") == b"".join(parts)
    assert store.size("a/b/c") == sum(map(len, parts))


def test_put_replaces_an_object(store: CheckpointStore) -> None:
    store.put("a", [b"a longer one"])
    store.put("a", [b"short"])
    assert store.get("a") == b"short"
    assert store.list("") == ["a"]


def test_a_large_object_of_many_parts_comes_back_whole_and_by_range(store: CheckpointStore) -> None:
    parts = [bytes([i]) * 700_001 for i in range(25)]
    store.put("large", parts)
    whole = b"".join(parts)
    assert store.size("large") == len(whole)
    assert store.get("large") == whole
    assert store.get_range("large", 9_000_000, 1_000_000) == whole[9_000_000:10_000_000]


def test_create_refuses_a_name_that_is_taken_and_leaves_what_is_there(store: CheckpointStore) -> None:
    store.create("manifests/1", b"first")
    with pytest.raises(ObjectExists, match="manifests/1"):
        store.create("manifests/1", b"second")
    store.put("manifests/2", [b"put"])
    with pytest.raises(ObjectExists):
        store.create("manifests/2", b"created")
    assert (store.get("manifests/1"), store.get("manifests/2")) == (b"first", b"put")


def test_create_succeeds_again_after_a_delete(store: CheckpointStore) -> None:
    store.create("a/b", b"1")
    store.delete(["a/b"])
    store.create("a/b", b"2")
    assert store.get("a/b") == b"2"


def test_of_several_callers_of_create_one_succeeds(reopen: Open) -> None:
    callers = 8
    barrier = threading.Barrier(callers)

    def attempt(caller: int) -> int | None:
        store = reopen()
        barrier.wait()
        try:
            store.create("contested/name", b"%d" % caller)
        except ObjectExists:
            return None
        return caller

    with ThreadPoolExecutor(callers) as pool:
        winners = [caller for caller in pool.map(attempt, range(callers)) if caller is not None]
    assert len(winners) == 1
    assert reopen().get("contested/name") == b"%d" % winners[0]


def test_a_reader_sees_all_of_an_object_or_the_one_before(reopen: Open) -> None:
    store = reopen()
    store.put("a", [b"0" * 200_000])
    stop = threading.Event()

    def overwrite() -> None:
        mine = reopen()
        for i in range(10):
            mine.put("a", [b"%d" % i * 100_000, b"%d" % i * 100_000])
        stop.set()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(overwrite)
        while not stop.is_set() and not done.done():
            data = store.get("a")
            assert len(data) == 200_000
            assert len(set(data)) == 1
        done.result()


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 3, b"012"), (2, 3, b"234"), (8, 5, b"89"), (0, 100, b"0123456789"), (10, 1, b""), (50, 4, b""), (3, 0, b"")],
)
def test_a_range_ends_where_the_object_ends(store: CheckpointStore, start: int, length: int, expected: bytes) -> None:
    store.put("a/b", [b"0123456789"])
    assert store.get_range("a/b", start, length) == expected


def test_an_object_that_is_not_there_is_missing(store: CheckpointStore) -> None:
    store.put("a/b", [b"1"])
    for name in ("nothing", "a", "a/b/c", "a/c"):
        with pytest.raises(ObjectMissing, match=name):
            store.get(name)
        with pytest.raises(ObjectMissing, match=name):
            store.get_range(name, 0, 1)
        with pytest.raises(ObjectMissing, match=name):
            store.get_range(name, 0, 0)
        with pytest.raises(ObjectMissing, match=name):
            store.size(name)


def test_list_gives_names_by_prefix_in_ascending_order(store: CheckpointStore) -> None:
    assert store.list("") == []
    assert store.list("epochs/") == []
    for name in ("epochs/2/b", "epochs/2/a", "epochs/10/a", "epochs-old", "bases/x=2Fy-0/1", "top"):
        store.put(name, [b"1"])
    assert store.list("") == ["bases/x=2Fy-0/1", "epochs-old", "epochs/10/a", "epochs/2/a", "epochs/2/b", "top"]
    assert store.list("epochs/") == ["epochs/10/a", "epochs/2/a", "epochs/2/b"]
    assert store.list("epochs/2") == ["epochs/2/a", "epochs/2/b"]
    assert store.list("ep") == ["epochs-old", "epochs/10/a", "epochs/2/a", "epochs/2/b"]
    assert store.list("top") == ["top"]
    assert store.list("nothing/at/all") == []
    assert store.list("top/") == []


def test_delete_deletes_what_there_is(store: CheckpointStore) -> None:
    for name in ("a/1", "a/2", "b/1"):
        store.put(name, [b"1"])
    store.delete(["a/1", "b/1", "never/there", "a/0"])
    store.delete(["a/1"])
    store.delete([])
    assert store.list("") == ["a/2"]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../outside", "a/../../outside", "a//b", "a/.hidden", "a/\0"])
def test_a_name_cannot_reach_outside_of_the_store(store: CheckpointStore, name: str) -> None:
    for use in (
        lambda: store.put(name, [b"1"]),
        lambda: store.create(name, b"1"),
        lambda: store.get(name),
        lambda: store.get_range(name, 0, 1),
        lambda: store.size(name),
        lambda: store.delete([name]),
    ):
        with pytest.raises(CheckpointStoreFailed, match="not a name"):
            use()


def test_a_store_that_is_opened_again_holds_what_was_written(reopen: Open) -> None:
    reopen().put("a/b", [b"1"])
    assert reopen().get("a/b") == b"1"
    assert reopen().list("a/") == ["a/b"]


def test_several_threads_may_use_one_store(store: CheckpointStore) -> None:
    def use(thread: int) -> None:
        for i in range(5):
            store.put(f"t{thread}/{i}/x", [b"%d" % i])
            assert store.get(f"t{thread}/{i}/x") == b"%d" % i
            store.delete([f"t{thread}/{i}/x"])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(use, range(6)))
    assert store.list("") == []


@pytest.mark.parametrize("value_bytes", [10, 2_000])
def test_a_segment_is_read_back_by_ranges(store: CheckpointStore, value_bytes: int) -> None:
    task, other = TaskId("orders", 0), TaskId("orders", 1)
    rows = Delta(
        [b"%04d" % i for i in range(1_000)], [None if i % 7 == 0 else b"v" * value_bytes for i in range(1_000)]
    )
    staged = [EncodedBatch("out", [b"k", None], [None, b"v"], [1, 2], [[("h", b"x"), ("h", None)], []], 3)]
    sealed = [
        TaskSealed(task, rows, {"sink": staged, "quiet": []}, {"positions": {"topic": [1, 2]}, "watermark": -5}),
        TaskSealed(other, Delta([], []), {}, {}),
    ]
    store.put("epochs/1", encode_segment(sealed))
    segment = SegmentReader(store, "epochs/1")
    assert segment.tasks == [task, other]
    assert segment.delta(task) == rows
    assert segment.staged(task) == {"sink": staged, "quiet": []}
    assert segment.progress(task) == {"positions": {"topic": [1, 2]}, "watermark": -5}
    assert (segment.delta(other), segment.staged(other), segment.progress(other)) == (Delta([], []), {}, {})
    segment.verify()
