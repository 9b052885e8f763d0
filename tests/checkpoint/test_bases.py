from __future__ import annotations

from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.checkpoint.bases import (
    _HEAD,
    _MAGIC,
    _VERSIONED,
    BaseRef,
    decode_base_part,
    encode_base_part,
    read_base,
    split_rows,
)
from rayflow.checkpoint.layout import base_part_name
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.core.errors import DamagedObject, FormatTooNew
from rayflow.core.ids import TaskId
from rayflow.state.base import Rows

row_runs = st.lists(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=30)), max_size=6), max_size=6)


@settings(max_examples=300, deadline=None)
@given(row_runs, st.integers(1, 150))
def test_rows_are_split_in_order_within_the_limit(runs: list[list[tuple[bytes, bytes]]], limit: int) -> None:
    columns: list[Rows] = [([key for key, _ in run], [value for _, value in run]) for run in runs]
    parts = list(split_rows(columns, limit))
    assert [row for keys, values in parts for row in zip(keys, values, strict=True)] == [r for run in runs for r in run]
    sizes = [[len(key) + len(value) + 10 for key, value in zip(*part, strict=True)] for part in parts]
    assert all(size and (sum(size) <= limit or len(size) == 1) for size in sizes)
    assert all(sum(left) + right[0] > limit for left, right in pairwise(sizes))


def test_a_base_comes_back_in_key_order() -> None:
    store = ObjectStore("memory:")
    runs: list[Rows] = [([b"%04d" % (i + j) for j in range(10)], [b"v" * 50] * 10) for i in range(0, 100, 10)]
    names = []
    for part, run in enumerate(split_rows(runs, 1_000)):
        names.append(base_part_name(TaskId("a", 0), 7, 2, part))
        store.put(names[-1], encode_base_part(run))
    assert len(names) == 7
    assert max(map(store.size, names)) <= 1_000 + _HEAD.size
    base = BaseRef(7, tuple(names), sum(map(store.size, names)))
    assert [key for keys, _ in read_base(store, base) for key in keys] == [b"%04d" % i for i in range(100)]
    assert list(read_base(store, BaseRef(7, (), 0))) == []


def test_every_flipped_byte_and_every_cut_of_a_part_is_found_by_name() -> None:
    data = b"".join(encode_base_part(([b"a", b"b"], [b"1", b"2"])))
    for i in range(len(data)):
        for damaged in (data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :], data[:i], data + data[: i + 1]):
            with pytest.raises(DamagedObject, match="bases/a"):
                decode_base_part("bases/a", damaged)


def test_a_part_of_a_newer_format_is_refused_as_such() -> None:
    crc = crc32(_VERSIONED.pack(2, 3), crc32(b"new"))
    with pytest.raises(FormatTooNew, match="p has format 2"):
        decode_base_part("p", _HEAD.pack(_MAGIC, 2, 3, crc) + b"new")
