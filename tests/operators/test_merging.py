"""Accumulators that become one, and values that are taken back: as if the values had come so."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rayflow.api.aggregations as agg
from rayflow.api.reducers import count_spec
from rayflow.api.specs.reducers import AggregateSpec, FoldSpec, ReducerSpec
from rayflow.core.errors import InvalidJob
from rayflow.operators.loops import Loops

Values = list[tuple[int, int]]


class Often(agg.Aggregation[tuple[int, int], dict[int, int], list[int]]):
    """What came how often; accumulators are changed in place."""

    def create(self) -> dict[int, int]:
        return {}

    def add(self, accumulator: dict[int, int], value: tuple[int, int]) -> dict[int, int]:
        accumulator[value[1]] = accumulator.get(value[1], 0) + 1
        return accumulator

    def result(self, accumulator: dict[int, int]) -> list[int]:
        return sorted(Counter(accumulator).elements())

    def merge(self, one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
        for value, times in other.items():
            one[value] = one.get(value, 0) + times
        return one

    def remove(self, accumulator: dict[int, int], value: tuple[int, int]) -> dict[int, int]:
        accumulator[value[1]] -= 1
        return {each: times for each, times in accumulator.items() if times}


class Silent(agg.Aggregation[Any, int, int]):
    """Defines neither merge nor remove."""

    def create(self) -> int:
        return 0

    def add(self, accumulator: int, value: Any) -> int:
        return accumulator + 1

    def result(self, accumulator: int) -> int:
        return accumulator


def one(aggregation: agg.AnyAggregation[Any, Any]) -> AggregateSpec:
    return AggregateSpec((("only", aggregation),), dict)


BUILT_IN: dict[str, ReducerSpec] = {
    kind: one(agg.count() if kind == "count" else getattr(agg, kind)(lambda v: v[1]))
    for kind in get_args(agg.BuiltInKind)
}
WHOLE: dict[str, ReducerSpec] = {
    "of the value itself": one(agg.BuiltIn("max")),
    "several": AggregateSpec(tuple((kind, spec.aggregations[0][1]) for kind, spec in BUILT_IN.items()), dict),  # type: ignore[union-attr]
    "custom": one(Often()),
    "count()": count_spec(),
    "reduce": FoldSpec(None, lambda a, v: (a[0] + v[0], max(a[1], v[1]))),
    "fold": FoldSpec(list, lambda a, v: [*a, v[1]], merge=lambda a, b: a + b),
}
MERGED: dict[str, ReducerSpec] = {**BUILT_IN, **WHOLE}
REMOVED = ("count", "sum", "mean", "collect", "custom", "count()")

values = st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 5)), min_size=1, max_size=12)


def folded(spec: ReducerSpec, given: Values) -> list[Any]:
    """The accumulator of these values."""
    rows: dict[str, list[Any]] = {}
    Loops(spec).table(emit=False).run([("k", value) for value in given], rows, lambda key: None, None)
    return rows["k"]


def merged(spec: ReducerSpec, one: list[Any], other: list[Any]) -> list[Any]:
    out: list[list[Any]] = []
    Loops(spec).merge().run([(one, other)], out.append)
    return out[0]


@pytest.mark.parametrize("name", MERGED)
@given(before=values, after=values, last=values)
def test_two_accumulators_become_that_of_all_values(name: str, before: Values, after: Values, last: Values) -> None:
    spec = MERGED[name]
    both = merged(spec, folded(spec, before), folded(spec, after))
    assert both == folded(spec, before + after)
    three = merged(spec, folded(spec, before), merged(spec, folded(spec, after), folded(spec, last)))
    assert three == merged(spec, both, folded(spec, last)) == folded(spec, before + after + last)


@pytest.mark.parametrize("name", BUILT_IN)
@given(before=values, after=values)
def test_what_is_merged_stays_as_it_was(name: str, before: Values, after: Values) -> None:
    spec = BUILT_IN[name]
    one, other = folded(spec, before), folded(spec, after)
    kept = deepcopy((one, other))
    both = merged(spec, one, other)
    Loops(spec).table(emit=False).run([("k", (1, 1))], {"k": both}, lambda key: None, None)
    assert (one, other) == kept


@pytest.mark.parametrize("name", REMOVED)
@given(kept=values, gone=st.tuples(st.integers(0, 9), st.integers(-5, 5)))
def test_a_value_that_is_taken_back_leaves_no_trace(name: str, kept: Values, gone: tuple[int, int]) -> None:
    spec = MERGED[name]
    out: list[list[Any]] = []
    Loops(spec).remove().run([(folded(spec, [gone, *kept]), gone)], out.append)
    assert out == [folded(spec, kept)] or (name == "collect" and sorted(out[0][0]) == sorted(folded(spec, kept)[0]))


@pytest.mark.parametrize("name", sorted(MERGED.keys() - {*REMOVED, "several", "reduce", "fold"}))
def test_what_cannot_take_a_value_back_says_so(name: str) -> None:
    with pytest.raises(InvalidJob, match="only has no remove"):
        Loops(MERGED[name]).remove()


def test_an_aggregation_that_defines_neither_says_so_when_it_is_needed() -> None:
    spec = AggregateSpec((("n", agg.count()), ("mine", Silent())), dict)
    with pytest.raises(InvalidJob, match="mine has no merge"):
        Loops(spec).merge()
    with pytest.raises(InvalidJob, match="this fold has no merge"):
        Loops(FoldSpec(list, lambda a, v: a)).merge()
    for method in (Silent().merge, Silent().remove):
        with pytest.raises(NotImplementedError, match="Silent has no"):
            method(1, 2)
