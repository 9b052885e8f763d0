"""The codec carries every type that it promises exactly, single and in columns, and refuses the rest."""

from __future__ import annotations

import contextlib
import pickle
import zoneinfo
from collections import OrderedDict, defaultdict
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rayflow.core.errors import DamagedObject, RayflowError, ValueNotCarried
from rayflow.serde.codec import Codec

UTC = timezone.utc
CODEC = Codec()
"""One for all tests, as a task has one for all its values: what one value leaves behind would show in the next."""

offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
times = st.times(timezones=st.none() | offsets)
datetimes = st.datetimes(timezones=st.none() | st.just(UTC) | offsets, allow_imaginary=True)
integers = st.integers() | st.integers(-(1 << 300), 1 << 300) | st.sampled_from([2**63, 2**64, 2**64 - 1, -(2**63) - 1])
hashable_scalars = (
    st.none()
    | st.booleans()
    | integers
    | st.floats()
    | st.text()
    | st.binary()
    | datetimes
    | st.dates()
    | times
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
)
hashables = st.recursive(
    hashable_scalars.filter(lambda value: "nan" not in repr(value).lower()),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    hashable_scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(hashables, max_size=3)
        | st.frozensets(hashables, max_size=3)
        | st.dictionaries(hashables, inner, max_size=4)
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """A value with the type and the order of everything in it, NaN made comparable."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, [shape(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted(repr(shape(item)) for item in value)
    if kind is dict:
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if kind in (datetime, time):
        return kind, value.replace(tzinfo=None), value.utcoffset(), value.fold
    return kind, repr(value)


@given(values)
@example(datetime(2024, 10, 27, 2, 30, fold=1))
@example({(1, "a"): [{1.5: (None,)}], frozenset({b"x"}): {2**70}})
@example([Decimal("sNaN"), Decimal("-0"), Decimal("1E+400"), -0.0, 1 << 64])
@example(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23))))
def test_a_value_comes_back_with_every_type_in_it(value: Any) -> None:
    assert shape(CODEC.decode(CODEC.encode(value))) == shape(value)


@given(st.lists(values, max_size=5) | st.lists(hashables.map(lambda value: (value, [value])), max_size=5))
@example([])
@example([None, None])
@example([(1, "a"), None])
@example([(), ()])
def test_a_column_comes_back_with_every_type_in_it(column: list[Any]) -> None:
    assert shape(CODEC.decode_column(CODEC.encode_column(column))) == shape(column)


@given(st.lists(values, max_size=5) | st.lists(integers | st.text() | st.binary(), max_size=5))
@example([[1, "a"], [None]])
@example([(1,), 5])
def test_many_values_are_encoded_as_each_is(column: list[Any]) -> None:
    encoded = CODEC.encode_all(column)
    assert encoded == list(map(CODEC.encode, column))
    assert shape(CODEC.decode_all(encoded)) == shape(column)


def test_an_aware_datetime_keeps_its_offset_but_not_the_name_of_its_zone() -> None:
    paris = datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
    back = CODEC.decode(CODEC.encode(paris))
    assert back == paris
    assert back.hour == 12
    assert back.tzinfo == timezone(timedelta(hours=2))


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Pair(NamedTuple):
    left: int
    right: int


class Plain:
    pass


def holding_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def nested(depth: int, make: Any) -> Any:
    value: Any = make([])
    for _ in range(depth):
        value = make([value])
    return value


REFUSED = [
    Colour.RED,
    Level.LOW,
    Text("secret"),
    Pair(1, 2),
    Plain(),
    OrderedDict(a=1),
    defaultdict(int),
    bytearray(b"secret"),
    memoryview(b"secret"),
    range(3),
    1j,
    len,
    Plain,
    "\ud800",
    time(12, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    holding_itself(),
    nested(3_000, list),
    nested(3_000, tuple),
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "place",
    [
        lambda v: v,
        lambda v: [v],
        lambda v: (v,),
        lambda v: {"k": [1, v]},
        lambda v: [((v, 1),)],
        lambda v: [b"\xc4", v],
    ],
)
def test_what_is_not_carried_is_refused_by_type_without_showing_it(value: Any, place: Any) -> None:
    for encode in (CODEC.encode, lambda held: CODEC.encode_column([held]), lambda held: CODEC.encode_column([1, held])):
        with pytest.raises(ValueNotCarried) as refused:
            encode(place(value))
        assert "secret" not in str(refused.value)
        assert "ud800" not in str(refused.value)
        assert refused.value.__cause__ is None
    assert CODEC.decode(CODEC.encode([("still", "works")])) == [("still", "works")]


@pytest.mark.parametrize("column", [["a", "\ud800"], [["a"], ["\ud800"]], [1, Plain()]])
def test_many_values_are_refused_as_one_is(column: list[Any]) -> None:
    with pytest.raises(ValueNotCarried) as one:
        CODEC.encode(column[1])
    with pytest.raises(ValueNotCarried) as many:
        CODEC.encode_all(column)
    assert str(many.value) == str(one.value)


def test_the_refusal_names_the_type() -> None:
    with pytest.raises(ValueNotCarried, match=r"test_codec\.Plain cannot be carried"):
        CODEC.encode({"a": (Plain(),)})


@given(st.binary())
@example(pickle.dumps(print))
@example(b"\xc1\x0bos:system\x00T\xa2ls")
@example(b"\xc1\x0bsubprocess:Popen\x00T\xa2ls")
@example(b"ros:system\x00T\x91\xa2ls")
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 100_000)
@example(b"\xd4\x01" * 100_000)
@example(b"\xc1\x02\x91\x90")
@example(b"l\x05")
@example(b"t\x91\x05")
def test_arbitrary_bytes_give_a_value_or_an_error_of_rayflow(data: bytes) -> None:
    for decode in (CODEC.decode, CODEC.decode_column, lambda some: CODEC.decode_all([some])):
        with contextlib.suppress(RayflowError):
            decode(data)


@given(values, st.integers(0, 60), st.integers(0, 255))
def test_damaged_bytes_give_a_value_or_an_error_of_rayflow(value: Any, position: int, byte: int) -> None:
    for data, decode in ((CODEC.encode(value), CODEC.decode), (CODEC.encode_column([value]), CODEC.decode_column)):
        damaged = bytearray(data)
        damaged[position % len(damaged)] = byte
        for broken in (bytes(damaged), data[: position % len(data)]):
            with contextlib.suppress(RayflowError):
                decode(broken)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\xc1\x63", b"\x91", b"\x01\x01", b"\xc1\x05\xff", b"\xc1\x08nonsense"]
)
def test_bytes_that_are_no_value_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedObject):
        CODEC.decode(data)
    with pytest.raises(DamagedObject):
        CODEC.decode_all([CODEC.encode(1), data])


def test_the_format_of_what_lies_in_state_does_not_change() -> None:
    """Bytes that an earlier release has written. A failure here means that old checkpoints cannot be read."""
    written: dict[str, Any] = {
        "9305cb3ff8000000000000c0": [5, 1.5, None],
        "c1019301a178c40179": (1, "x", b"y"),
        "91c706019201d5029102": [(1, {2})],
        "c10391a161": frozenset({"a"}),
        "c10407e8050c0c1e0f000007d0": datetime(2024, 5, 12, 12, 30, 15, 2000),
        "c10407e8850c0c1e0f000007d00000000000000000": datetime(2024, 5, 12, 12, 30, 15, 2000, fold=1, tzinfo=UTC),
        "c105000b4646": date(2024, 1, 1),
        "c1060c1e00000000000000000000000000": time(12, 30, tzinfo=UTC),
        "c107ffffffff0000000500000000": timedelta(days=-1, seconds=5),
        "c108312e3530": Decimal("1.50"),
        "c10900000000000000000000000000000005": UUID(int=5),
        "c7090a010000000000000000": 1 << 64,
        "c70b0aff00000000000000000000": -(1 << 80),
    }
    for data, value in written.items():
        assert CODEC.encode(value).hex() == data
        assert CODEC.decode(bytes.fromhex(data)) == value
