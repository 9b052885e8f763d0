"""How output batches become blobs of partitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.connectors.embedded import packing
from rayflow.connectors.embedded.blob import Columns, Damaged, decode, encode
from rayflow.connectors.embedded.layout import Topic
from rayflow.connectors.embedded.packing import Packer
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import RecordTooLarge
from rayflow.core.hashing import murmur2

KEYS = st.none() | st.binary(max_size=3)
ROWS = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=40), st.booleans()), max_size=30)


def test_a_record_may_be_as_large_as_the_limit_and_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "RECORD_BYTES", 10)

    def packed(keys: list[bytes | None], values: list[bytes | None]) -> int:
        batch = EncodedBatch("t", keys, values, [1] * len(keys), None)
        return sum(chunk.count for chunk in Packer().pack([batch], lambda name: Topic(1, 1), lambda topic: 0))

    assert packed([b"k" * 10, None], [b"v" * 10, b"w" * 10]) == 2
    for keys, values in (([None], [b"v" * 11]), ([b"k" * 11], [None])):
        with pytest.raises(RecordTooLarge, match="A record of 11 bytes is larger than the embedded log's limit of 10"):
            packed(keys, values)


@given(st.lists(ROWS, max_size=5), st.integers(1, 4), st.integers(1, 200), st.integers(1, 20), st.booleans())
def test_each_partition_gets_its_records_in_order(
    batches: list[list[tuple[bytes | None, bytes | None, bool]]], partitions: int, size: int, count: int, sticky: bool
) -> None:
    number = 0
    made, expected = [], []
    for rows in batches:
        stamps = list(range(number, number + len(rows)))
        number += len(rows)
        headers = [[("h", b"%d" % stamp)] if has else [] for stamp, (_, _, has) in zip(stamps, rows, strict=True)]
        some = any(has for _, _, has in rows)
        made.append(EncodedBatch("t", [r[0] for r in rows], [r[1] for r in rows], stamps, headers if some else None))
        expected += [(key, value, stamp, h) for (key, value, _), stamp, h in zip(rows, stamps, headers, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BLOB_BYTES", size)
        patch.setattr(packing, "BLOB_RECORDS", count)
        chunks = list(Packer(sticky=sticky).pack(made, lambda name: Topic(1, partitions), lambda topic: 7))
    found = []
    for partition in range(partitions):
        last = -1
        for chunk in chunks:
            if chunk.partition != partition:
                continue
            columns = decode(chunk.blob)
            assert 0 < chunk.count == len(columns.values) <= count
            for n, stamp in enumerate(columns.timestamps):
                assert stamp > last
                last = stamp
                key = columns.keys[n]
                assert key is None or murmur2(key) % partitions == partition
                found.append((key, columns.values[n], stamp, columns.headers[n] if columns.headers else []))
    assert sorted(found, key=lambda record: record[2]) == expected


@pytest.mark.parametrize("partitions", [2, 3])
def test_null_keys_go_to_one_partition_a_batch_and_to_the_next_one_after(partitions: int) -> None:
    packer = Packer()
    seen = []
    for _ in range(partitions):
        batch = EncodedBatch("t", [None] * 10, [b"v"] * 10, [1] * 10)
        (chunk,) = packer.pack([batch], lambda name: Topic(1, partitions), lambda topic: 0)
        seen.append(chunk.partition)
    assert sorted(seen) == [*range(partitions)]


def test_null_keys_one_by_one_go_to_the_partitions_in_turn_for_each_topic_by_itself() -> None:
    packer = Packer(sticky=False)
    keys = [None, b"k", None, None]
    for number, start in ((1, 5), (2, 0), (1, 8)):
        batch = EncodedBatch("t", keys, [b"v"] * 4, [1, 2, 3, 4])
        chunks = packer.pack(
            [batch], lambda name, number=number: Topic(number, 3), lambda topic: 5 * (topic.number == 1)
        )
        keyless = {
            stamp: chunk.partition
            for chunk in chunks
            for key, stamp in zip(*decode(chunk.blob)[0:3:2], strict=True)
            if key is None
        }
        assert keyless == {stamp: (start + n) % 3 for n, stamp in enumerate((1, 3, 4))}


@pytest.mark.parametrize(("limit", "count"), [("BLOB_BYTES", 100), ("BLOB_RECORDS", 10)])
def test_a_blob_is_yielded_as_soon_as_it_is_full(monkeypatch: pytest.MonkeyPatch, limit: str, count: int) -> None:
    monkeypatch.setattr(packing, limit, count)
    pulled = 0

    def batches() -> Iterator[EncodedBatch]:
        nonlocal pulled
        for pulled in range(1, 7):  # noqa: B007 - for the test to see
            yield EncodedBatch("t", [b"kkkkk"] * 5, [b"vvvvv"] * 5, [1] * 5)

    chunks = Packer().pack(batches(), lambda name: Topic(1, 2), lambda topic: 0)
    assert [(chunk.count, pulled) for chunk in chunks] == [(10, 2), (10, 4), (10, 6)]


def test_a_blob_that_was_cut_or_changed_is_damaged() -> None:
    blob = bytes(encode(Columns([b"k"] * 3, [b"value"] * 3, [1, 2, 3], [[("h", None)], [], []])))
    for damaged in (b"", blob[:3], blob[:-1], blob + b"x", blob[:10] + b"\xff" + blob[11:]):
        with pytest.raises(Damaged, match="checksum"):
            decode(damaged)
    with pytest.raises(Damaged, match="cannot be read"):
        decode(bytes(4))
