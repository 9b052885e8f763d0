from __future__ import annotations

import string
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.sealed import TaskSealed
from rayflow.checkpoint.segment import _MAGIC, _TRAILER, _VERSIONED, SegmentReader, encode_segment
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import DamagedObject, FormatTooNew, ObjectMissing
from rayflow.core.ids import TaskId
from rayflow.state.base import Delta

names = st.text(string.ascii_lowercase + "/é ", max_size=5)
maybe_bytes = st.none() | st.binary(max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | names | maybe_bytes,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.integers(0, 9), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def deltas(draw: st.DrawFn) -> Delta:
    keys = sorted(draw(st.sets(st.binary(max_size=6), max_size=6)))
    return Delta(keys, [draw(maybe_bytes) for _ in keys])


@st.composite
def batches(draw: st.DrawFn) -> EncodedBatch:
    size = draw(st.integers(0, 4))
    header = st.lists(st.tuples(names, maybe_bytes), max_size=2)

    def column(of: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(of, min_size=size, max_size=size))

    headers = column(header) if draw(st.booleans()) else None
    times = column(st.integers(-(2**62), 2**62))
    return EncodedBatch(
        draw(names), column(maybe_bytes), column(maybe_bytes), times, headers, draw(st.none() | st.just(3))
    )


@st.composite
def segments(draw: st.DrawFn) -> list[TaskSealed]:
    tasks = draw(st.sets(st.builds(TaskId, names, st.integers(0, 3)), max_size=3))
    staged = st.dictionaries(names, st.lists(batches(), max_size=3), max_size=2)
    progress = st.dictionaries(names, plain, max_size=3)
    return [TaskSealed(task, draw(deltas()), draw(staged), draw(progress)) for task in sorted(tasks)]


EXAMPLE = [
    TaskSealed(
        TaskId("orders", i),
        Delta([b"a", b"b"], [b"1", None]),
        {"sink": [EncodedBatch("out", [b"k"], [b"v"], [1])]},
        {"position": i},
    )
    for i in range(2)
]


@settings(max_examples=150, deadline=None)
@given(segments())
def test_a_segment_gives_back_what_its_tasks_handed_over(parts: list[TaskSealed]) -> None:
    reader = SegmentReader.of("s", b"".join(encode_segment(parts)))
    reader.verify()
    assert reader.tasks == [part.task for part in parts]
    for part in parts:
        assert reader.delta(part.task) == part.delta
        assert reader.staged(part.task) == part.staged
        assert reader.progress(part.task) == part.progress


def read_everything(data: bytes) -> list[Any]:
    reader = SegmentReader.of("epochs/damaged", data)
    return [(reader.delta(task), reader.staged(task), reader.progress(task)) for task in reader.tasks]


def test_every_flipped_byte_of_a_segment_is_found_by_name() -> None:
    data = b"".join(encode_segment(EXAMPLE))
    for i in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = data[:i] + bytes([data[i] ^ flip]) + data[i + 1 :]
            with pytest.raises(DamagedObject, match="epochs/damaged"):
                SegmentReader.of("epochs/damaged", damaged).verify()
            if i >= len(_MAGIC):  # the magic at the beginning is read by `verify` only, and bears on nothing
                with pytest.raises(DamagedObject, match="epochs/damaged"):
                    read_everything(damaged)


def test_every_cut_and_every_addition_of_a_segment_is_found() -> None:
    data = b"".join(encode_segment(EXAMPLE))
    for i in range(len(data)):
        with pytest.raises(DamagedObject):
            SegmentReader.of("s", data[:i])
        with pytest.raises(DamagedObject):
            SegmentReader.of("s", data[i + 1 :]).verify()
    for longer in (data + b"\0", data + data, b"\0" + data):
        with pytest.raises(DamagedObject):
            SegmentReader.of("s", longer).verify()


def test_a_segment_of_a_newer_format_is_refused_as_such() -> None:
    footer = b"something else"
    crc = crc32(_VERSIONED.pack(len(footer), 2), crc32(footer))
    data = _MAGIC + footer + _TRAILER.pack(len(footer), 2, crc, _MAGIC)
    with pytest.raises(FormatTooNew, match="s has format 2"):
        SegmentReader.of("s", data)


def test_a_segment_that_is_not_there_is_missing() -> None:
    with pytest.raises(ObjectMissing):
        SegmentReader(ObjectStore("memory:"), "epochs/1/none")


def test_a_large_segment_is_read_without_reading_what_is_not_wanted() -> None:
    reads: list[int] = []

    class Counting(ObjectStore):
        def get_range(self, name: str, start: int, length: int) -> bytes:
            reads.append(length)
            return super().get_range(name, start, length)

    store = Counting("memory:")
    big = EncodedBatch("out", [None] * 1_000, [b"x" * 1_000] * 1_000, [0] * 1_000)
    small = TaskSealed(TaskId("a", 0), Delta([b"k"], [b"v"]), {"sink": [big]}, {"position": 1})
    other = TaskSealed(TaskId("a", 1), Delta([b"k"], [b"w"]), {"sink": [big]}, {"position": 2})
    store.put("s", encode_segment([small, other]))
    reader = SegmentReader(store, "s")
    assert reader.delta(TaskId("a", 1)) == other.delta
    assert reader.progress(TaskId("a", 0)) == {"position": 1}
    assert sum(reads) < 100_000
    assert reader.staged(TaskId("a", 0)) == small.staged


def test_progress_that_cannot_be_carried_is_refused() -> None:
    with pytest.raises(TypeError):
        encode_segment([TaskSealed(TaskId("a", 0), Delta([], []), {}, {"bad": object()})])
