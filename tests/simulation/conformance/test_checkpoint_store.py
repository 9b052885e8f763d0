"""`ModelStore` against a folder and an object store: the same calls and answers, and what a dead writer leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.checkpoint.file_store import FileStore
from rayflow.checkpoint.layout import manifest_name, segment_name
from rayflow.checkpoint.manifest import encode_manifest, read_manifest
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.sealed import TaskSealed
from rayflow.checkpoint.segment import SegmentReader, encode_segment
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import CheckpointStoreFailed, DamagedObject, RayflowError
from rayflow.core.ids import TaskId
from rayflow.state.base import Delta
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.store import ModelStore
from tests.checkpoint.model import example_manifest

ROOT = Path(__file__).parents[3]
Call: TypeAlias = tuple[Any, ...]

names = st.sampled_from(["a/1", "a/2", "a/10", "a-1", "b/x/1", "b/x/y", "b/z", "top"])
wrong = st.sampled_from(["", "../a", "a//1", "/a", "b/.x", "a/\0"])
contents = st.binary(max_size=12)
numbers = st.integers(0, 15)
calls = st.one_of(
    st.tuples(st.just("put"), names, st.lists(contents, max_size=3)),
    st.tuples(st.just("create"), names, contents),
    st.tuples(st.just("get"), names | wrong | st.sampled_from(["a", "b/x", "top/1"])),
    st.tuples(st.just("get_range"), names, numbers, numbers),
    st.tuples(st.just("size"), names),
    st.tuples(st.just("list"), st.sampled_from(["", "a", "a/", "a/1", "b/", "b/x", "b/x/", "c/", "top", "top/"])),
    st.tuples(st.just("delete"), st.lists(names, max_size=3)),
    st.one_of(
        st.tuples(st.just("put"), wrong, st.just([])),
        st.tuples(st.just("create"), wrong, st.just(b"")),
        st.tuples(st.just("delete"), st.lists(wrong, min_size=1, max_size=2)),
    ),
)


def answer(store: CheckpointStore, call: Call) -> Any:
    """What a store answers: a value, or the class of its error."""
    try:
        return getattr(store, call[0])(*call[1:])
    except RayflowError as error:
        return type(error)


@settings(max_examples=150, deadline=None, print_blob=True)
@given(script=st.lists(calls, min_size=1, max_size=25))
def test_all_stores_answer_every_call_alike(script: list[Call]) -> None:
    with TemporaryDirectory() as folder:
        model = ModelStore(Schedule(0), Faults)
        real = [FileStore(f"file:{folder}/store"), ObjectStore("memory:")]
        for call in script:
            expected = answer(model, call)
            for store in real:
                assert answer(store, call) == expected, f"{store.uri}: {call} of {script}"


def test_only_a_folder_cannot_hold_an_object_whose_name_is_a_folder_of_another(tmp_path: Path) -> None:
    """The layout has no such names, so the model does not know it."""
    for store in (ModelStore(Schedule(0), Faults), ObjectStore("memory:"), FileStore(f"file:{tmp_path}")):
        store.put("a", [b"1"])
        expected = CheckpointStoreFailed if isinstance(store, FileStore) else None
        assert answer(store, ("put", "a/b", [b"2"])) == expected


DIE = """
import os, signal, sys
from rayflow.checkpoint.file_store import FileStore
uri, call, held = sys.argv[1:]
at = -1
while True:  # one more step before the end each time, until the write comes to its end
    at += 1
    store = FileStore(f"{uri}/{at}")
    if held:
        store.put("epochs/1", [held.encode()])
    child = os.fork()
    if child == 0:
        break
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        print(at + 1)
        sys.exit(os.waitstatus_to_exitcode(status))
passed = 0
def before(step):
    def stop(*arguments, **options):
        global passed
        if passed == at:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1
        return step(*arguments, **options)
    return stop
for name in ("open", "fsync", "replace", "link", "mkdir", "unlink", "close"):
    setattr(os, name, before(getattr(os, name)))
if call == "put":
    store.put("epochs/1", [b"new" * 10_000, b"new" * 10_000])
else:
    store.create("epochs/1", b"new" * 20_000)
"""

NEW, OLD = b"new" * 20_000, b"old"


def found_after_a_death(store: CheckpointStore) -> bytes | None:
    """The object that the writer was writing."""
    return store.get("epochs/1") if store.list("") == ["epochs/1"] else None


@pytest.mark.parametrize(("call", "held"), [("put", None), ("put", OLD), ("create", None)])
def test_a_writer_that_dies_leaves_all_of_an_object_or_what_was_there(
    tmp_path: Path, call: str, held: bytes | None
) -> None:
    """The real one is killed before each of its calls of the system; the model's as often as chance takes it there."""
    command = [sys.executable, "-c", DIE, f"file:{tmp_path}", call, (held or b"").decode()]
    moments = int(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    assert moments > 5
    seen = {found_after_a_death(FileStore(f"file:{tmp_path}/{moment}")) for moment in range(moments)}
    assert {found_after_a_death(dead_writer(seed, call, held)) for seed in range(40)} == seen == {held, NEW}


def dead_writer(seed: int, call: str, held: bytes | None, faults: Callable[[], Faults] = Faults) -> ModelStore:
    """The model's store after a process has died while it wrote."""
    schedule = Schedule(seed)
    store = ModelStore(schedule, faults)
    if held is not None:
        store.put("epochs/1", [held])
    process = SimpleNamespace(alive=True)
    if call == "put":
        store.put_later(process, "epochs/1", [NEW], lambda: None, lambda: None)
    else:
        store.create_later(process, "epochs/1", NEW, lambda _: None, lambda: None)
    if seed % 2 or call == "create":  # what was asked of a service takes effect whether or not the asker lives
        schedule.after(schedule.random.randrange(6_000), lambda: setattr(process, "alive", False))
    else:
        process.alive = False
    if call == "create" and seed % 2:
        return store
    while schedule.step():
        pass
    return store


def segment() -> list[bytes]:
    """A small segment."""
    staged = [EncodedBatch("out", [b"k", None], [None, b"v"], [1, 2], None, 0)]
    return encode_segment(
        [TaskSealed(TaskId("count", 0), Delta([b"a", b"b"], [b"1", None]), {"sink": staged}, {"watermark": 7})]
    )


def verdict(read: Callable[[], Any]) -> Any:
    """Whether it can be read."""
    try:
        read()
    except DamagedObject:
        return DamagedObject
    return "whole"


def test_an_object_that_is_cut_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    """The model tears objects as a disk without order of writes may; a real file that is cut so is refused alike."""
    for name, parts in (
        (segment_name(3, 1, 0), segment()),
        (manifest_name(3), [encode_manifest(example_manifest())]),
    ):
        data = b"".join(parts)
        real, model = FileStore(f"file:{tmp_path}"), ModelStore(Schedule(0), Faults)
        for length in [*range(0, len(data), 1 + len(data) // 200), len(data) - 1, len(data)]:
            model.objects[name] = data[:length]
            if length == 0:
                real.put(name, [data])
            (tmp_path / name).write_bytes(data[:length])
            told = []
            for store in (model, real):
                reader = read_segment if name.startswith("epochs/") else read_manifest_3
                told.append(verdict(lambda store=store, reader=reader, name=name: reader(store, name)))  # type: ignore[misc]
            assert told == ["whole" if length == len(data) else DamagedObject] * 2, (name, length)


def read_segment(store: CheckpointStore, name: str) -> None:
    """All of it."""
    SegmentReader(store, name).verify()


def read_manifest_3(store: CheckpointStore, name: str) -> None:
    """As recovery does."""
    read_manifest(store, 3)


def test_the_model_tears_objects_that_no_store_tears() -> None:
    """It is harder on the engine than the stores that there are."""
    left = [found_after_a_death(dead_writer(seed, "put", None, lambda: Faults(torn=1.0))) for seed in range(0, 80, 2)]
    assert any(data is not None and data != NEW and NEW.startswith(data) for data in left)
