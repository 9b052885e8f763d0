"""Which partition a key belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.core.hashing import Partitioner, murmur2, partition_of
from rayflow.serde.keys import encode_canonical, encode_key


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # from kafka's UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_agrees_with_kafka(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0x7FFFFFFF


@given(st.binary())
def test_murmur2_is_never_negative_and_fits_an_int(data: bytes) -> None:
    assert 0 <= murmur2(data) < 1 << 31


def test_the_partition_of_a_key_never_changes() -> None:
    """The state of running jobs depends on these numbers."""
    keys = ["u01234", b"u01234", 7, -1, 1.5, ("a", 5), None]
    assert [partition_of(encode_key(key), 12) for key in keys] == [1, 11, 7, 2, 5, 0, 3]


@given(st.lists(st.text() | st.integers() | st.booleans() | st.sampled_from([1.0, 0.0, -0.0, 2.5])), st.integers(1, 9))
def test_a_partitioner_gives_the_hash_of_the_key_whatever_it_saw_before(keys: list[object], partitions: int) -> None:
    partitioner = Partitioner(partitions, encode_canonical, bound=3)
    assert [partitioner[key] for key in keys] == [partition_of(encode_canonical(key), partitions) for key in keys]
    assert len(partitioner) <= 3


def test_a_partitioner_encodes_a_key_once() -> None:
    encoded = []

    def encode(key: str) -> bytes:
        encoded.append(key)
        return key.encode()

    partitioner = Partitioner(4, encode, murmur2)
    assert (
        list(map(partitioner.__getitem__, ["a", "b", "a", "a"]))
        == [murmur2(b"a") % 4, murmur2(b"b") % 4] + [murmur2(b"a") % 4] * 2
    )
    assert encoded == ["a", "b"]


def test_keys_spread_over_the_partitions() -> None:
    counts = [0] * 8
    for i in range(8_000):
        counts[partition_of(encode_key(f"user-{i}"), 8)] += 1
    assert min(counts) > 800
    assert max(counts) < 1_200
