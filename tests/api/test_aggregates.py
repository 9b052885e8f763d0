"""The aggregations of one call, and the class of their results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

import rayflow as rf
from rayflow.api.aggregations import BuiltIn
from rayflow.api.specs.reducers import AggregateSpec
from rayflow.api.specs.table import TableSpec
from rayflow.api.specs.window import WindowSpec
from rayflow.core.errors import InvalidJob
from rayflow.serde.codec import Codec


class Revenue(rf.Record):
    window_start: int
    total: float
    orders: int
    note: str = ""


@dataclass
class Plain:
    total: float
    seen: list[int] = field(default_factory=list)


def table_spec(**aggregations: Any) -> AggregateSpec:
    job = rf.Job("j")
    job.stream("a").key_by(len).aggregate(**aggregations)
    spec = list(job.graph.nodes.values())[-1].spec
    assert isinstance(spec, TableSpec)
    assert isinstance(spec.reducer, AggregateSpec)
    return spec.reducer


def window_spec(**aggregations: Any) -> AggregateSpec:
    job = rf.Job("j")
    job.stream("a").key_by(len).window(rf.tumbling(minutes=1)).aggregate(**aggregations)
    spec = list(job.graph.nodes.values())[-1].spec
    assert isinstance(spec, WindowSpec)
    assert isinstance(spec.reducer, AggregateSpec)
    return spec.reducer


class Concat(rf.Aggregation[str, str, str]):
    def create(self) -> str:
        return ""

    def add(self, accumulator: str, value: str) -> str:
        return accumulator + value

    def result(self, accumulator: str) -> str:
        return accumulator


def test_every_built_in_names_its_kind() -> None:
    makers = (rf.count, rf.sum, rf.min, rf.max, rf.mean, rf.first, rf.last, rf.collect, rf.distinct)
    made: list[Any] = [maker() for maker in makers]
    assert all(isinstance(aggregation, BuiltIn) and aggregation.fn is None for aggregation in made)
    assert [aggregation.kind for aggregation in made] == [
        "count",
        "sum",
        "min",
        "max",
        "mean",
        "first",
        "last",
        "collect",
        "distinct",
    ]
    assert rf.sum(len) == BuiltIn("sum", len)
    assert Concat().kind == "custom"


def test_a_result_has_the_key_and_the_names_in_order() -> None:
    assert table_spec(total=rf.sum(), n=rf.count()).result.__struct_fields__ == ("key", "total", "n")
    fields = window_spec(total=rf.sum(), n=rf.count()).result.__struct_fields__
    assert fields == ("key", "window_start", "window_end", "total", "n")


def test_results_of_the_same_names_are_of_one_class_that_the_codec_carries() -> None:
    result = window_spec(a=rf.sum()).result
    assert window_spec(a=rf.count()).result is result
    made = result(key="k", window_start=0, window_end=60_000, a=[1])
    codec = Codec()
    assert codec.decode(codec.encode({"r": made})) == {"r": made}
    assert codec.decode_column(codec.encode_column([made, made])) == [made, made]
    assert msgspec.json.encode(made) == b'{"key":"k","window_start":0,"window_end":60000,"a":[1]}'


def test_a_record_or_a_dataclass_can_be_the_result() -> None:
    assert window_spec(total=rf.sum(), orders=rf.count(), into=Revenue).result is Revenue
    assert table_spec(total=rf.sum(), into=Plain).result is Plain


def test_a_result_class_without_a_field_for_an_aggregation_is_refused() -> None:
    with pytest.raises(InvalidJob, match="Revenue has no field for the aggregation turnover"):
        window_spec(turnover=rf.sum(), into=Revenue)


def test_a_result_class_with_a_field_that_nothing_fills_is_refused() -> None:
    with pytest.raises(InvalidJob, match="nothing fills the field orders of Revenue"):
        window_spec(total=rf.sum(), into=Revenue)
    with pytest.raises(InvalidJob, match="nothing fills the field window_start of Revenue"):
        table_spec(total=rf.sum(), orders=rf.count(), into=Revenue)
    with pytest.raises(InvalidJob, match="nothing fills the field total of Plain"):
        table_spec(seen=rf.collect(), into=Plain)


@pytest.mark.parametrize(
    ("message", "aggregations"),
    [
        ("is given no aggregation", {}),
        ("an aggregation is named 'key'", {"key": rf.count()}),
        ("an aggregation is named 'window_end'", {"window_end": rf.max()}),
        ("'name', which is an option of aggregate", {"name": rf.count()}),
        ("'into', which is an option of aggregate", {"into": rf.count()}),
        ("aggregation 'n' is a int", {"n": 5}),
        ("aggregation 'n' is a function", {"n": rf.count}),
        ("aggregation 'n' is a class", {"n": Concat}),
        ("into= is not a record class", {"n": rf.count(), "into": dict}),
    ],
)
def test_what_is_no_aggregation_is_refused(message: str, aggregations: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob, match=message) as caught:
        table_spec(**aggregations)
    assert caught.value.what.startswith("test_aggregates.py:")


def test_an_aggregation_of_the_users_own() -> None:
    ((name, aggregation),) = table_spec(text=Concat()).aggregations
    assert name == "text"
    assert aggregation.result(aggregation.add(aggregation.create(), "x")) == "x"
