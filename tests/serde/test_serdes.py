"""Serdes between a topic's bytes and Python objects."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.core.errors import EncodeFailed, InvalidJob
from rayflow.serde import (
    JsonSerde,
    MsgpackSerde,
    Record,
    Serde,
    auto,
    bytes_,
    float64,
    int32,
    int64,
    json,
    msgpack,
    serde_for,
    text,
)
from rayflow.serde.auto import dead_letters


class Order(Record):
    id: int
    price: float = 0.0


class Created(Record, tag=True):
    id: int


class Deleted(Record, tag=True):
    id: int


@dataclass
class Point:
    x: int


class Movie(TypedDict):
    title: str


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ROUND_TRIPS: list[tuple[Serde[Any], st.SearchStrategy[Any]]] = [
    (bytes_, st.binary()),
    (text, st.text()),
    (json, plain),
    (msgpack, plain | st.binary()),
    (int32, st.integers(-(1 << 31), (1 << 31) - 1)),
    (int64, st.integers(-(1 << 63), (1 << 63) - 1)),
    (float64, st.floats(allow_nan=False)),
    (JsonSerde(Order), st.builds(Order, st.integers(0, 9), st.floats(allow_nan=False, allow_infinity=False))),
    (MsgpackSerde(Point), st.builds(Point, st.integers(0, 9))),
    (serde_for(Created | Deleted), st.builds(Created, st.integers(0, 9)) | st.builds(Deleted, st.integers(0, 9))),
]


@pytest.mark.parametrize(("serde", "values"), ROUND_TRIPS, ids=lambda part: getattr(part, "name", ""))
@given(data=st.data())
def test_columns_come_back_and_agree_with_single_objects(serde: Serde[Any], values: Any, data: st.DataObject) -> None:
    column = data.draw(st.lists(values | st.none(), max_size=4))
    encoded = serde.encode(column)
    assert serde.decode(encoded) == column
    assert encoded == [None if value is None else serde.encode_one(value) for value in column]
    assert column == [None if raw is None else serde.decode_one(raw) for raw in encoded]
    assert list(map(type, serde.decode(encoded))) == list(map(type, column))


@pytest.mark.parametrize(
    ("serde", "raw"),
    [
        (text, b"\xff"),
        (json, b"{"),
        (json, b"1 2"),
        (JsonSerde(Order), b'{"id":"5"}'),
        (JsonSerde(dict), b"[]"),
        (msgpack, b"\xc1"),
        (MsgpackSerde(Order), b"\x05"),
        (int32, b"12345"),
        (int64, b"1234"),
        (float64, b""),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_bytes_that_do_not_fit_raise_alone_and_in_a_column(serde: Serde[Any], raw: bytes) -> None:
    for decode in (serde.decode_one, lambda data: serde.decode([data]), lambda data: serde.decode([None, data])):
        with pytest.raises((ValueError, struct.error)):
            decode(raw)


def test_numbers_of_the_wrong_size_are_not_made_up_from_their_neighbours() -> None:
    with pytest.raises(struct.error):
        int32.decode([b"123456", b"12"])


@pytest.mark.parametrize(
    ("serde", "value"),
    [
        (bytes_, "a"),
        (text, b"a"),
        (json, object()),
        (msgpack, object()),
        (int32, 1 << 31),
        (int64, "1"),
        (float64, "x"),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_values_that_do_not_fit_raise_alone_and_in_a_column(serde: Serde[Any], value: Any) -> None:
    for encode in (serde.encode_one, lambda held: serde.encode([held]), lambda held: serde.encode([None, held])):
        with pytest.raises((TypeError, struct.error)):
            encode(value)


def test_numbers_are_as_java_writes_them() -> None:
    assert int32.encode([-2]) == [b"\xff\xff\xff\xfe"]
    assert int64.encode([258]) == [b"\x00\x00\x00\x00\x00\x00\x01\x02"]
    assert float64.encode([1.0]) == [b"\x3f\xf0\x00\x00\x00\x00\x00\x00"]


def test_text_stands_for_numbers_where_a_typed_json_serde_is_not_strict() -> None:
    assert JsonSerde(Order, strict=False).decode_one(b'{"id":"5","price":"1.5"}') == Order(5, 1.5)


class Ratio(msgspec.Struct):
    of: str
    ratio: float | None
    parts: Any = None


NAN, INFINITY = float("nan"), float("inf")
NO_NUMBERS: list[Any] = [
    NAN,
    -INFINITY,
    {"a": [1.0, {"b": (INFINITY,)}]},
    Ratio("x", NAN),
    Ratio("null", None, {1 << 70, NAN}),
    [None, 1 << 70, NAN],
]


@pytest.mark.parametrize("serde", [json, auto, JsonSerde(strict=False)], ids=lambda serde: serde.name)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_json_has_neither_nan_nor_infinity(serde: Serde[Any], value: Any) -> None:
    for encode in (serde.encode_one, lambda held: serde.encode([1, held]), lambda held: serde.encode([None, held])):
        with pytest.raises(EncodeFailed, match="NaN or infinity") as caught:
            encode(value)
        assert 'rf.json(nan="null")' in caught.value.advice


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_json_writes_null_for_nan_and_infinity_if_it_is_told_to(value: Any) -> None:
    lenient = json(nan="null")
    assert lenient.name == "json (NaN as null)"
    for serde in (lenient, dead_letters):
        assert serde.encode([value, None]) == [msgspec.json.encode(value), None]
        assert serde.encode_one(value) == msgspec.json.encode(value)
    typed = json(Ratio, nan="null")
    assert (typed.type, typed.decode_one(typed.encode_one(Ratio("x", NAN)))) == (Ratio, Ratio("x", None))
    with pytest.raises(InvalidJob, match="nan='zero'"):
        json(nan="zero")  # type: ignore[arg-type]


finite = st.recursive(
    st.none()
    | st.text()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary()
    | st.builds(Ratio, st.text(), st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(finite, max_size=5))
def test_json_of_finite_values_is_what_msgspec_writes_for_each(column: list[Any]) -> None:
    assert json.encode(column) == [None if value is None else msgspec.json.encode(value) for value in column]


def test_raw_json_may_have_newlines_between_its_tokens() -> None:
    column = [msgspec.Raw(b'{"a":\n1}'), 2]
    assert json.encode(column) == [b'{"a":\n1}', b"2"]


def test_json_writes_what_python_has_and_json_lacks() -> None:
    moment = datetime(2024, 1, 1, tzinfo=timezone.utc)
    assert json.encode([Order(1), Point(2), Decimal("1.50"), moment, {3}]) == [
        b'{"id":1,"price":0.0}',
        b'{"x":2}',
        b'"1.50"',
        b'"2024-01-01T00:00:00Z"',
        b"[3]",
    ]


@given(
    st.lists(st.none() | st.text() | st.binary() | st.integers(0, 9) | st.builds(Order, st.integers(0, 9)), max_size=4)
)
def test_auto_writes_text_and_bytes_as_they_are_and_the_rest_as_json(column: list[Any]) -> None:
    def expected(value: Any) -> bytes | None:
        if value is None or isinstance(value, bytes):
            return value
        return value.encode() if isinstance(value, str) else msgspec.json.encode(value)

    assert auto.encode(column) == list(map(expected, column))
    assert [None if value is None else auto.encode_one(value) for value in column] == list(map(expected, column))


def test_auto_reads_json_else_text_else_bytes() -> None:
    assert auto.decode([b'{"a":1}', b"plain", b"\xff", None]) == [{"a": 1}, "plain", b"\xff", None]


@pytest.mark.parametrize(
    ("spec", "name", "raw", "value"),
    [
        (bytes, "bytes", b"a", b"a"),
        (str, "text", b"a", "a"),
        (int, "json int", b"5", 5),
        (float, "json float", b"5", 5.0),
        (bool, "json bool", b"true", True),
        (dict, "json dict", b'{"a":1}', {"a": 1}),
        (list, "json list", b"[1]", [1]),
        (Order, "json Order", b'{"id":1}', Order(1)),
        (Point, "json Point", b'{"x":1}', Point(1)),
        (Movie, "json Movie", b'{"title":"x"}', {"title": "x"}),
        (dict[str, int], "json dict[str, int]", b'{"a":1}', {"a": 1}),
        (msgpack, "msgpack", b"\x05", 5),
    ],
)
def test_a_type_means_the_serde_one_expects(spec: Any, name: str, raw: bytes, value: Any) -> None:
    serde = serde_for(spec)
    assert serde.name == name
    assert serde.decode_one(raw) == value
    assert type(serde.decode_one(raw)) is type(value)


@pytest.mark.parametrize(
    "spec", ["json", None, 5, object, set, lambda data: data, Decimal, Created | Order, Any, tuple[int]]
)
def test_anything_else_is_an_invalid_job(spec: Any) -> None:
    with pytest.raises(InvalidJob):
        serde_for(spec)


def test_records_and_their_subclasses_are_immutable_and_not_tracked() -> None:
    assert Order.__struct_config__.frozen
    assert Order.__struct_config__.gc is False
    with pytest.raises(AttributeError):
        Order(1).id = 2  # type: ignore[misc]
    assert hash(Order(1)) == hash(Order(1, 0.0))
