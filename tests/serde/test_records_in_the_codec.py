"""Records keep their class and, exactly, what their fields hold: in state, in columns and inside other values."""

from __future__ import annotations

import contextlib
import sys
import types
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.core.errors import DamagedObject, InvalidJob, RayflowError, ValueNotCarried
from rayflow.serde.codec import Codec
from rayflow.serde.exact_types import datetimes_of
from rayflow.serde.record import Record
from rayflow.serde.record_names import register_record

UTC = timezone.utc
CODEC = Codec()
T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Bits(Flag):
    ONE = 1
    TWO = 2


class Item(Record):
    name: str
    price: Decimal


class Order(Record):
    """Every field of a type that msgspec carries exactly."""

    id: int
    user: str
    price: float
    raw: bytes
    due: date | None
    took: timedelta
    token: UUID
    items: list[Item]
    parts: tuple[int, ...]
    pair: tuple[str, Decimal]
    tags: set[str]
    by_day: dict[date, frozenset[int]]
    colour: Colour
    kind: Literal["a", "b"]
    amount: Annotated[int, msgspec.Meta(ge=0)]
    number: int | float | str | None
    at: datetime
    seen: datetime | None = None


class Loose(Record):
    """Fields that msgspec alone would change."""

    id: int
    anything: Any
    listed: list
    either: Decimal | str
    clock: time
    shop: Shop
    colours: list[Colour]
    moments: list[datetime]


class Shop(Record):
    town: str


class Chain(Shop):
    shops: int


@dataclass
class Point:
    x: int
    y: float = 0.0
    label: Any = None


@dataclass(frozen=True, slots=True)
class Counted:
    words: list[str]
    count: int = field(init=False)
    extra: InitVar[int] = 0

    def __post_init__(self, extra: int) -> None:
        object.__setattr__(self, "count", len(self.words) + extra)


@dataclass
class Hidden:
    _secret: int
    shown: int = field(kw_only=True, default=0)


class Node(Record):
    value: int
    next: Node | None = None


class Box(Record, Generic[T]):
    content: T


class Compact(Record, array_like=True):
    a: int
    b: str = "b"


class Tagged(Record, tag="tagged", rename="camel", omit_defaults=True, kw_only=True):
    some_field: int
    other_field: int | msgspec.UnsetType = msgspec.UNSET


class Flags(Record):
    flags: Bits


class Empty(Record):
    pass


offsets = st.sampled_from([None, UTC, timezone(timedelta(hours=2))])
datetimes = st.datetimes(timezones=offsets).map(lambda moment: moment.replace(fold=0))
any_int = st.integers(-(1 << 70), 1 << 70)
items = st.builds(Item, st.text(), st.decimals(allow_nan=False))
orders = st.builds(
    Order,
    id=any_int,
    user=st.text(),
    price=st.floats(allow_nan=False),
    raw=st.binary(),
    due=st.none() | st.dates(),
    took=st.timedeltas(),
    token=st.uuids(),
    items=st.lists(items, max_size=2),
    parts=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    pair=st.tuples(st.text(), st.decimals(allow_nan=False)),
    tags=st.sets(st.text(), max_size=3),
    by_day=st.dictionaries(st.dates(), st.frozensets(st.integers(0, 9)), max_size=2),
    colour=st.sampled_from(Colour),
    kind=st.sampled_from(["a", "b"]),
    amount=st.integers(0, 9),
    number=st.none() | st.integers(0, 9) | st.floats(allow_nan=False) | st.text() | st.just(1.0),
    at=datetimes,
    seen=st.none() | datetimes,
)
anything = st.one_of(
    st.decimals(allow_nan=False),
    st.tuples(st.integers(), datetimes),
    st.sets(st.integers()),
    st.binary(),
    items,
    any_int,
)
shops = st.builds(Shop, st.text()) | st.builds(Chain, st.text(), st.integers(0, 9))
loose = st.builds(
    Loose,
    id=any_int,
    anything=anything,
    listed=st.lists(anything, max_size=3),
    either=st.text() | st.decimals(allow_nan=False),
    clock=st.times(timezones=offsets),
    shop=shops,
    colours=st.lists(st.sampled_from(Colour), max_size=3),
    moments=st.lists(datetimes, max_size=3),
)
points = st.builds(Point, st.integers(0, 9), st.floats(allow_nan=False), anything)
nodes = st.recursive(st.builds(Node, any_int), lambda inner: st.builds(Node, any_int, inner), max_leaves=4)
others = st.sampled_from(
    [
        Counted(["a", "b"], 5),
        Hidden(5, shown=6),
        Box((1, {2})),
        Box([Decimal(1)]),
        Compact(1),
        Tagged(some_field=1),
        Tagged(some_field=1, other_field=2),
        Empty(),
    ]
)
records = orders | loose | points | nodes | others | shops


def shape(value: Any) -> Any:
    """A value with the type of everything in it."""
    kind = type(value)
    if isinstance(value, msgspec.Struct):
        return kind, [shape(getattr(value, name)) for name in value.__struct_fields__]
    if hasattr(value, "__dataclass_fields__"):
        return kind, [shape(getattr(value, name)) for name in value.__dataclass_fields__ if hasattr(value, name)]
    if kind in (list, tuple):
        return kind, [shape(item) for item in value]
    if kind is dict:
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if kind in (set, frozenset):
        return kind, sorted(map(repr, value))
    return kind, repr(value)


@given(records)
def test_a_record_comes_back_as_it_was_alone_and_inside_of_values(record: Any) -> None:
    assert shape(CODEC.decode(CODEC.encode(record))) == shape(record)
    held = {"k": [(record, 1), record]}
    assert shape(CODEC.decode(CODEC.encode(held))) == shape(held)


@given(
    st.sampled_from([orders, loose, points, nodes, shops]).flatmap(lambda kind: st.lists(kind | st.none(), max_size=4))
)
def test_a_column_of_one_class_comes_back_as_it_was(column: list[Any]) -> None:
    assert shape(CODEC.decode_column(CODEC.encode_column(column))) == shape(column)


@given(st.lists(records | st.none() | st.integers(0, 9), max_size=4))
def test_a_column_of_several_classes_comes_back_as_it_was(column: list[Any]) -> None:
    assert shape(CODEC.decode_column(CODEC.encode_column(column))) == shape(column)


def test_a_column_of_one_exact_class_is_one_call_of_the_typed_codec() -> None:
    column = [Item("a", Decimal(1)), None]
    assert CODEC.encode_column(column) == f"r{__name__}:Item\x00T".encode() + msgspec.msgpack.encode(column)


@pytest.mark.parametrize(
    ("cls", "fits"),
    [
        (Item, ()),
        (Order, ("at", "seen")),
        (Node, ()),
        (Tagged, ()),
        (Empty, ()),
        (Shop, ()),
        (Loose, None),
        (Point, None),
        (Counted, None),
        (Hidden, None),
        (Box, None),
        (Compact, None),
        (Flags, None),
    ],
)
def test_the_typed_codec_is_used_only_where_it_changes_nothing(cls: type[Any], fits: Any) -> None:
    assert datetimes_of(cls) == fits


def test_an_enum_is_carried_only_where_the_annotation_says_so() -> None:
    box = Box([Colour.RED])
    with pytest.raises(ValueNotCarried, match="Colour cannot be carried"):
        CODEC.encode(box)
    with pytest.raises(ValueNotCarried, match="Bits cannot be carried"):
        CODEC.encode_column([Flags(Bits.ONE)])


def test_a_value_that_its_annotation_does_not_allow_for_keeps_its_type_where_messagepack_has_it() -> None:
    wrong = Item(name=True, price="1.50x")  # type: ignore[arg-type]
    assert shape(CODEC.decode(CODEC.encode(wrong))) == shape(wrong)
    assert shape(CODEC.decode_column(CODEC.encode_column([wrong, None]))) == shape([wrong, None])
    nested = Node(1, next=Node("x"))  # type: ignore[arg-type]
    with pytest.raises(ValueNotCarried, match="field next"):
        CODEC.decode(CODEC.encode(nested))


def test_a_class_inside_of_a_function_is_refused_when_it_is_written() -> None:
    class Local(Record):
        id: int

    for encode in (CODEC.encode, lambda value: CODEC.encode_column([value])):
        with pytest.raises(ValueNotCarried, match="top level"):
            encode(Local(1))


@dataclass
class Base:
    x: int


class Undecorated(Base):
    y = 0


def test_a_subclass_that_is_no_dataclass_itself_is_refused() -> None:
    with pytest.raises(ValueNotCarried):
        CODEC.encode(Undecorated(1))


def test_a_registered_class_is_found_by_its_name_and_may_be_replaced() -> None:
    old = msgspec.defstruct("Result", [("total", int)], frozen=True)
    register_record(old, "job/replaced")
    data, column = CODEC.encode(old(5)), CODEC.encode_column([old(6)])
    assert CODEC.decode(data) == old(5)
    new = msgspec.defstruct("Result", [("total", int), ("count", int, 0)], frozen=True)
    register_record(new, "job/replaced")
    assert CODEC.decode(data) == new(5, 0)
    assert CODEC.decode_column(column) == [new(6, 0)]
    assert CODEC.decode(CODEC.encode(new(7, 1))) == new(7, 1)
    with pytest.raises(InvalidJob):
        register_record(dict, "job/replaced")


def module_with(name: str, cls: type[Any]) -> None:
    module = types.ModuleType(name)
    cls.__module__, cls.__qualname__ = name, cls.__name__
    setattr(module, cls.__name__, cls)
    sys.modules[name] = module


def test_a_class_follows_its_job_file_from_one_version_to_the_next() -> None:
    name = f"{__name__}_job"
    first = msgspec.defstruct("Row", [("id", int), ("gone", str), ("at", time), ("price", float)])
    module_with(name, first)
    rows = [first(5, "x", time(1, tzinfo=UTC), 1.5), first(1 << 70, "y", time(2), 2.5)]
    singles, column = [CODEC.encode(row) for row in rows], CODEC.encode_column(rows)

    second = msgspec.defstruct(
        "Row", [("price", Any), ("id", int), ("at", time), ("added", list, msgspec.field(default_factory=list))]
    )
    module_with(name, second)
    expected = [second(1.5, 5, time(1, tzinfo=UTC)), second(2.5, 1 << 70, time(2))]
    assert [CODEC.decode(data) for data in singles] == CODEC.decode_column(column) == expected

    @dataclass
    class Row:
        id: int
        price: float
        needed: str

    module_with(name, Row)
    with pytest.raises(ValueNotCarried, match="does not fit the class Row"):
        CODEC.decode(singles[0])
    del sys.modules[name]
    with pytest.raises(ValueNotCarried, match=f"{name}:Row, which is not known"):
        CODEC.decode(singles[0])
    with pytest.raises(ValueNotCarried, match="not known"):
        CODEC.decode_column(column)


def test_a_dataclass_with_its_own_constructor_may_gain_fields() -> None:
    name = f"{__name__}_data"
    module_with(name, msgspec.defstruct("Words", [("words", list[str])]))
    data = CODEC.encode(sys.modules[name].Words(["a"]))

    @dataclass
    class Words:
        words: list[str]
        count: int = 0
        more: list[int] = field(default_factory=list)

        def __post_init__(self) -> None:
            raise AssertionError("decoding does not construct anew")

    module_with(name, Words)
    back = CODEC.decode(data)
    assert (back.words, back.count, back.more) == (["a"], 0, [])
    del sys.modules[name]


def test_a_class_that_refuses_what_is_stored_is_named() -> None:
    name = f"{__name__}_strict"

    class Strict(Record):
        id: int

        def __post_init__(self) -> None:
            if limit and self.id > limit[0]:
                raise ValueError("too large")

    limit: list[int] = []
    module_with(name, Strict)
    data = CODEC.encode(Strict(5))
    limit.append(3)
    with pytest.raises(ValueNotCarried, match="does not fit the class Strict"):
        CODEC.decode(data)
    del sys.modules[name]


@pytest.mark.parametrize(
    "name", ["os:system", "builtins:print", "json:JSONDecoder", "rayflow.serde.codec:Codec", "x", ":", ""]
)
def test_a_name_that_leads_to_no_record_class_is_refused_and_nothing_is_called_or_imported(name: str) -> None:
    for data, decode in ((b"\xc1\x0b", CODEC.decode), (b"r", CODEC.decode_column)):
        with pytest.raises(ValueNotCarried, match="not known here"):
            decode(data + name.encode() + b"\x00T\x91\x01")
    before = set(sys.modules)
    with pytest.raises(ValueNotCarried):
        CODEC.decode(b"\xc1\x0bthis:Zen\x00T\x80")
    assert set(sys.modules) == before


@given(records, st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_record_gives_a_value_or_an_error_of_rayflow(record: Any, position: int, byte: int) -> None:
    for data, decode in ((CODEC.encode(record), CODEC.decode), (CODEC.encode_column([record]), CODEC.decode_column)):
        damaged = bytearray(data)
        damaged[position % len(damaged)] = byte
        for broken in (bytes(damaged), data[: position % len(data)]):
            with contextlib.suppress(RayflowError):
                decode(broken)


def test_a_record_that_is_no_map_is_damaged() -> None:
    name = f"{__name__}:Item".encode()
    for body in (b"T\x05", b"M\x91\x05", b"", b"X\x05"):
        with pytest.raises(DamagedObject):
            CODEC.decode(b"\xc1\x0b" + name + b"\x00" + body)
    with pytest.raises(DamagedObject):
        CODEC.decode_column(b"r" + name + b"\x00T\x05")
