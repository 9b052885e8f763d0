"""Keys keep their order and their type as bytes, and no encoding is the prefix of another."""

from __future__ import annotations

import struct
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rayflow.core.errors import DamagedObject, KeyNotUsable, RayflowError
from rayflow.serde.keys import decode_key, encode_all_canonical, encode_canonical, encode_key

UTC = timezone.utc

tricky_text = st.text(st.sampled_from("\x00\x01\x02\x03a\xff\u0100\ud7ff\U0010ffff")) | st.text()
tricky_bytes = st.lists(st.sampled_from([0, 1, 2, 3, 0xFE, 0xFF])).map(bytes) | st.binary()
integers = st.integers() | st.integers(-(1 << 600), 1 << 600) | st.integers(0, 64).map(lambda n: (1 << n) - 1)
floats = st.floats(allow_nan=False).map(lambda x: x + 0.0)  # -0.0 is the key 0.0
instants = st.datetimes(timezones=st.just(UTC))
ONE_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "text": tricky_text,
    "bytes": tricky_bytes,
    "int": integers,
    "float": floats,
    "bool": st.booleans(),
    "datetime": instants,
    "date": st.dates(),
    "uuid": st.uuids(),
    "pair": st.tuples(tricky_text, integers),
    "tuple of texts": st.lists(tricky_text, max_size=4).map(tuple),
    "tuple of tuples": st.lists(st.lists(integers, max_size=3).map(tuple), max_size=3).map(tuple),
}
scalars = st.none() | st.one_of([ONE_TYPE[name] for name in ONE_TYPE if "tuple" not in name])
keys = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)


def typed(value: Any) -> Any:
    """A value with its type, and those of what it holds."""
    return (type(value), tuple(map(typed, value)) if type(value) is tuple else value)


@given(keys, st.binary(max_size=3))
def test_a_key_comes_back_with_its_exact_type_whatever_follows_it(key: Any, rest: bytes) -> None:
    data = encode_key(key)
    back, end = decode_key(b"ab" + data + rest, 2)
    assert typed(back) == typed(key)
    assert end == 2 + len(data)


@pytest.mark.parametrize("kind", ONE_TYPE)
@given(data=st.data())
def test_bytes_sort_as_the_keys_of_one_type_do(kind: str, data: st.DataObject) -> None:
    one, other = data.draw(ONE_TYPE[kind]), data.draw(ONE_TYPE[kind])
    assert (encode_key(one) < encode_key(other)) == (one < other)
    assert (encode_key(one) == encode_key(other)) == (one == other)


@given(keys, keys)
@example("a", "a\x00b")
@example((), ((),))
@example((None,), ())
@example(b"", b"\x00")
def test_no_key_is_the_prefix_of_another(one: Any, other: Any) -> None:
    if encode_key(one) != encode_key(other):
        assert not encode_key(one).startswith(encode_key(other))


@given(st.integers(0, 1 << 70), st.sampled_from([-1, 0, 1]))
def test_integers_sort_across_the_bounds_of_their_sizes(n: int, step: int) -> None:
    assert (encode_key(n) < encode_key(n + step)) == (step > 0)
    assert (encode_key(-n) < encode_key(-n + step)) == (step > 0)


def test_a_datetime_comes_back_as_the_same_instant_in_utc() -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    back, _ = decode_key(encode_key(noon))
    assert back == noon
    assert back.tzinfo is UTC
    assert encode_key(noon) == encode_key(noon.astimezone(timezone(timedelta(hours=-7))))


def test_minus_zero_is_the_key_zero() -> None:
    assert encode_key(-0.0) == encode_key(0.0)


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Pair(NamedTuple):
    left: int
    right: int


def nested(depth: int) -> Any:
    key: Any = ()
    for _ in range(depth):
        key = (key,)
    return key


@pytest.mark.parametrize(
    "key",
    [
        Decimal("1.5"),
        Colour.RED,
        Level.LOW,
        Pair(1, 2),
        [1],
        ("a", [1]),
        {"a"},
        float("nan"),
        datetime(2024, 1, 1),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))),
        "\ud800",
        object(),
        nested(100_000),
    ],
    ids=lambda key: type(key).__name__,
)
def test_what_cannot_be_a_key_is_refused_without_showing_it(key: Any) -> None:
    with pytest.raises(KeyNotUsable) as refused:
        encode_key(key)
    assert "RED" not in str(refused.value)
    with pytest.raises(KeyNotUsable):
        encode_canonical(key)


@given(st.binary() | st.tuples(keys, st.integers(0, 40), st.integers(0, 255)).map(lambda d: damaged(*d)))
def test_damaged_bytes_are_an_error_of_rayflow_or_a_key(data: bytes) -> None:
    try:
        key, end = decode_key(data)
    except RayflowError:
        return
    assert 0 < end <= len(data)
    if not (isinstance(key, float) and key != key):
        hash(key)


def damaged(key: Any, position: int, byte: int) -> bytes:
    data = bytearray(encode_key(key))
    data[position % len(data)] = byte
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\xff",
        b"\x02abc",
        b"\x03\xff\x00",
        b"\x02\x01\x03\x00",
        b"\x05!\x05",
        b"(\x01",
        b"\x05" * 9999,
        b"@abc",
        b"H" + b"\xff" * 8,
        b"I\x00\x00\x00\x00",
        struct.pack(">BI", 41, 1 << 31),
        b"0\x00",
    ],
)
def test_bytes_that_are_no_key_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedObject):
        decode_key(data)


@given(st.integers(-(1 << 53), 1 << 53), st.sampled_from([UUID(int=5), "a", date(2024, 1, 1), 1.5]))
def test_equal_keys_of_different_types_have_the_same_canonical_bytes(number: int, other: Any) -> None:
    assert encode_canonical(number) == encode_canonical(float(number)) == encode_key(number)
    assert encode_canonical((other, (float(number),))) == encode_canonical((other, (number,)))
    assert encode_canonical(True) == encode_canonical(1) != encode_canonical(False) == encode_canonical(-0.0)
    assert encode_canonical(other) == encode_key(other)


def test_canonical_bytes_never_change() -> None:
    """State on disk is sorted by them, and running jobs partition by their hash."""
    keys = ["u1", "a\x00b", b"\x01", 0, 1.0, True, -300, 1 << 70, 2.5, ("a", 2.0, None), None]
    expected = [
        "03753100",
        "036101016200",
        "02010200",
        "20",
        "2101",
        "2101",
        "1efed3",
        "2900000009400000000000000000",
        "30c004000000000000",
        "05036100210201" + "00",
        "01",
    ]
    assert [encode_canonical(key).hex() for key in keys] == expected
    assert encode_all_canonical(keys) == [encode_canonical(key) for key in keys]
    assert encode_all_canonical(["u1", "u2"]) == [encode_canonical("u1"), encode_canonical("u2")]
