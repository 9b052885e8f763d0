"""Tables: aggregates, folds and newest values per key."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rayflow.api.aggregations as agg
from rayflow.api.specs.reducers import AggregateSpec, FoldSpec, one_more
from rayflow.api.specs.table import LatestSpec, TableSpec
from rayflow.core.batch import Origin
from rayflow.core.errors import KeyNotUsable, UserFunctionFailed
from rayflow.core.failures import DeadLetter, Skip
from rayflow.core.outputs import DEAD_LETTER, OUT
from rayflow.core.topics import TopicRef
from rayflow.operators.loops import Loops
from tests.operators.harness import Bench, batch_of


class All(msgspec.Struct):
    key: str
    count: int
    sum: int
    min: int
    max: int
    mean: float
    first: int
    last: int
    collect: list[int]
    distinct: int
    longest: int


class Longest(agg.Aggregation[int, str, int]):
    def create(self) -> str:
        return ""

    def add(self, accumulator: str, value: int) -> str:
        return max(accumulator, "x" * value, key=len)

    def result(self, accumulator: str) -> int:
        return len(accumulator)


EVERYTHING: tuple[tuple[str, agg.AnyAggregation[Any, Any]], ...] = (
    ("count", agg.count()),
    ("sum", agg.sum(lambda v: v * 2)),
    ("min", agg.min()),
    ("max", agg.max(lambda v: -v)),
    ("mean", agg.mean()),
    ("first", agg.first()),
    ("last", agg.last(lambda v: v + 1)),
    ("collect", agg.collect()),
    ("distinct", agg.distinct(lambda v: v % 3)),
    ("longest", Longest()),
)


def expected(key: str, values: list[int]) -> All:
    return All(
        key=key,
        count=len(values),
        sum=sum(values) * 2,
        min=min(values),
        max=max(-v for v in values),
        mean=sum(values) / len(values),
        first=values[0],
        last=values[-1] + 1,
        collect=values,
        distinct=len({v % 3 for v in values}),
        longest=max(values),
    )


records = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=40)


@given(records, st.data())
def test_every_aggregation_equals_plain_python_whatever_the_batches_and_recoveries(
    given_records: list[tuple[str, int]], data: Any
) -> None:
    bench = Bench(TableSpec(AggregateSpec(EVERYTHING, All), "record"))
    seen: dict[str, list[int]] = {}
    want = []
    for key, value in given_records:
        seen.setdefault(key, []).append(value)
        want.append(expected(key, list(seen[key])))
    got = []
    at = 0
    while at < len(given_records):
        part = given_records[at : at + data.draw(st.integers(1, 15))]
        got += bench.send([v for _, v in part], [k for k, _ in part])
        at += len(part)
        if data.draw(st.booleans()):
            bench.checkpoint()
            bench.recover()
    assert got == want


@given(records, st.data())
def test_a_table_emits_the_newest_result_of_each_changed_key_once_per_epoch(
    given_records: list[tuple[str, int]], data: Any
) -> None:
    bench = Bench(TableSpec(AggregateSpec(EVERYTHING, All), "epoch"))
    seen: dict[str, list[int]] = {}
    at = 0
    while at < len(given_records):
        part = given_records[at : at + data.draw(st.integers(1, 15))]
        for key, value in part:
            seen.setdefault(key, []).append(value)
        stamps = [1_000 + (v * 37) % 11 for _, v in part]
        for start in range(0, len(part), 4):
            piece = part[start : start + 4]
            assert bench.send([v for _, v in piece], [k for k, _ in piece], stamps[start : start + 4]) == []
        out = bench.checkpoint()
        assert out.keys == list(dict.fromkeys(key for key, _ in part))
        assert out.values == [expected(key, seen[key]) for key in out.keys]
        newest = {key: max(s for (k, _), s in zip(part, stamps, strict=True) if k == key) for key in out.keys}
        assert out.timestamps == [newest[key] for key in out.keys]
        at += len(part)
        if data.draw(st.booleans()):
            bench.recover()
    assert len(bench.checkpoint()) == 0


def test_updates_keep_the_records_time_and_place_but_not_its_headers() -> None:
    bench = Bench(TableSpec(AggregateSpec((("n", agg.count()),), msgspec.defstruct("R", ["key", "n"])), "record"))
    out = bench.process(batch_of([1, 2], ["a", "b"], [5, 6], headers=[[("h", b"")], []], lateness=[7, 7]))[OUT]
    assert (out.keys, out.timestamps, list(out.offsets)) == (["a", "b"], [5, 6], [100, 101])
    assert (out.headers, out.lateness) == (None, [7, 7])


@dataclass
class AsDataclass:
    n: int
    key: str


class AsTuple(NamedTuple):
    other: int = 5
    n: int = 0


class KeywordsOnly(msgspec.Struct, kw_only=True):
    n: int
    key: str


class WithDefault(msgspec.Struct):
    key: str
    unknown: str = "-"
    n: int = 0


@pytest.mark.parametrize(
    ("result", "want"),
    [
        (AsDataclass, AsDataclass(1, "a")),
        (AsTuple, AsTuple(5, 1)),
        (KeywordsOnly, KeywordsOnly(n=1, key="a")),
        (WithDefault, WithDefault("a", "-", 1)),
    ],
)
def test_a_result_class_gets_what_it_has_fields_for(result: Any, want: Any) -> None:
    bench = Bench(TableSpec(AggregateSpec((("n", agg.count()),), result), "record"))
    assert bench.send([7], ["a"]) == [want]


@pytest.mark.parametrize("emit", ["record", "epoch"])
def test_a_failing_record_leaves_no_trace(emit: Any) -> None:
    bench = Bench(TableSpec(AggregateSpec((*EVERYTHING[:3], *EVERYTHING[4:9]), Short, Skip()), emit))
    bench.send([1, "x", 2, "y"], ["a", "a", "a", "new"])
    updates = bench.send([3], ["a"])
    newest = bench.checkpoint().values
    assert (updates or newest) == [Short("a", 3, 12, 1, 2.0, 1, 4, [1, 2, 3], 3)]
    assert bench.counters.errors == 2
    assert "new" not in bench.table()


@pytest.mark.parametrize("spec", [
    TableSpec(FoldSpec(int, lambda sum, value: sum + value, Skip()), "epoch"), LatestSpec("epoch")
])  # fmt: skip
def test_a_change_has_the_newest_time_of_its_own_keys_records_wherever_epochs_end(spec: Any) -> None:
    """Also when the records come from several partitions, each out of step with the others."""
    records = [
        ("ann", 1_000, 0),
        ("bob", 61_000, 1),
        ("ann", 900, 0),
        ("cid", 30_000, 0),
        ("bob", 500, 2),
        ("cid", 7, 2),
    ]

    def changes(ends: set[int]) -> dict[str, int]:
        bench, times = Bench(spec), {}
        for number, (key, time, partition) in enumerate(records):
            bench.process(replace(batch_of([1], [key], [time]), origin=Origin("orders", partition)))
            if number in ends:
                out = bench.checkpoint()
                times.update(dict(zip(out.keys, out.timestamps, strict=True)))
        return times

    assert changes({5}) == {"ann": 1_000, "bob": 61_000, "cid": 30_000}
    assert changes({2, 5}) == {"ann": 1_000, "bob": 500, "cid": 30_000}
    assert changes({0, 1, 5}) == {"ann": 900, "bob": 500, "cid": 30_000}


def test_an_epoch_in_which_a_keys_records_have_all_failed_emits_nothing_for_it() -> None:
    bench = Bench(TableSpec(FoldSpec(int, lambda sum, value: sum + value, Skip()), "epoch"))
    bench.send([5, 6], ["a", "b"])
    assert bench.checkpoint().values == [5, 6]
    bench.send(["bad", "bad", 1], ["a", "new", "b"])
    out = bench.checkpoint()
    assert (out.keys, out.values) == (["b"], [7])
    assert bench.table() == {"a": [5], "b": [7]}
    assert len(bench.checkpoint()) == 0


class Short(msgspec.Struct):
    key: str
    count: int
    sum: int
    min: int
    mean: float
    first: int
    last: int
    collect: list[int]
    distinct: int


def test_a_value_that_cannot_be_counted_as_distinct_leaves_no_trace() -> None:
    spec = AggregateSpec(
        (("count", agg.count()), ("d", agg.distinct())), msgspec.defstruct("D", ["count", "d"]), Skip()
    )
    bench = Bench(TableSpec(spec, "record"))
    bench.send([1, [], 1], ["a", "a", "a"])
    assert [(r.count, r.d) for r in bench.send([2], ["a"])] == [(3, 2)]


def test_a_failing_aggregation_names_the_users_line_and_the_place() -> None:
    def price(value: Any) -> Any:
        return value["price"]

    bench = Bench(TableSpec(AggregateSpec((("s", agg.sum(price)),), msgspec.defstruct("S", ["s"])), "epoch"))
    with pytest.raises(UserFunctionFailed, match=r"KeyError at test_table.py:\d+ in price") as failure:
        bench.send([{"price": 1}, {}], ["a", "b"])
    assert failure.value.offset == 101


def test_a_key_that_cannot_be_hashed_is_named_with_its_place() -> None:
    bench = Bench(TableSpec(FoldSpec(int, one_more), "record"))
    with pytest.raises(KeyNotUsable, match="type list cannot be hashed") as failure:
        bench.send([1, 2], ["a", []])
    assert failure.value.where["offset"] == 101


def test_a_key_that_cannot_be_stored_is_named_with_its_place() -> None:
    bench = Bench(TableSpec(FoldSpec(int, one_more), "record"))
    with pytest.raises(KeyNotUsable) as failure:
        bench.send([1, 2], ["a", frozenset()])
    assert failure.value.where == {"job": "job", "operator": "op", "topic": "orders", "partition": 3, "offset": 101}


def test_the_dead_letters_of_an_aggregate_are_its_input_records() -> None:
    spec = AggregateSpec((("s", agg.sum()),), msgspec.defstruct("S", ["s"]), DeadLetter(TopicRef("bad")))
    out = Bench(TableSpec(spec, "epoch")).process(batch_of([1, "x"], ["a", "b"]))
    assert (out[DEAD_LETTER].keys, out[DEAD_LETTER].values) == (["b"], ["x"])


def test_a_result_that_fails_at_the_end_of_an_epoch_is_dealt_with_too() -> None:
    class Ratio(Longest):
        def result(self, accumulator: str) -> int:
            return 1 // (len(accumulator) - 2)

    spec = AggregateSpec((("r", Ratio()),), msgspec.defstruct("R", ["key", "r"]), Skip())
    bench = Bench(TableSpec(spec, "epoch"))
    bench.send([1, 2, 3], ["a", "b", "c"])
    out = bench.checkpoint()
    assert [(r.key, r.r) for r in out.values] == [("a", -1), ("c", 1)]
    assert (out.keys, bench.counters.errors) == (["a", "c"], 1)


def test_reduce_begins_with_the_first_value_and_fold_with_the_initial_one() -> None:
    reduce = Bench(TableSpec(FoldSpec(None, lambda a, v: a - v), "record"))
    assert reduce.send([10, 1, 5, 2], ["a", "a", "b", "a"]) == [10, 9, 5, 7]
    fold = Bench(TableSpec(FoldSpec(lambda: None, lambda a, v: v if a is None else None), "record"))
    assert fold.send([1, 2, 3], ["a"] * 3) == [1, None, 3]


def test_count_counts() -> None:
    bench = Bench(TableSpec(FoldSpec(int, one_more), "epoch"))
    bench.send([None, None, 1], ["a", "b", "a"])
    out = bench.checkpoint()
    assert list(zip(out.keys, out.values, strict=True)) == [("a", 2), ("b", 1)]
    assert "one_more" not in Loops(FoldSpec(int, one_more)).table(emit=False).source


def test_what_a_fold_has_emitted_is_not_changed_by_later_records() -> None:
    def add(found: dict[str, list[int]], value: int) -> dict[str, list[int]]:
        found.setdefault("all", []).append(value)
        return found

    bench = Bench(TableSpec(FoldSpec(dict, add), "record"))
    assert bench.send([1, 2], ["a", "a"]) == [{"all": [1]}, {"all": [1, 2]}]
    later = Bench(TableSpec(FoldSpec(dict, add), "epoch"))
    later.send([1], ["a"])
    first = later.checkpoint().values
    later.send([2], ["a"])
    assert (first, later.checkpoint().values) == ([{"all": [1]}], [{"all": [1, 2]}])


def test_immutable_records_are_emitted_without_a_copy() -> None:
    class Best(msgspec.Struct, frozen=True):
        score: int

    best = [Best(3), Best(5), Best(4)]
    bench = Bench(TableSpec(FoldSpec(None, lambda a, v: a if a.score > v.score else v), "record"))
    assert [id(found) for found in bench.send(best, ["a"] * 3)] == [id(best[0]), id(best[1]), id(best[1])]


def test_a_loop_can_be_read_also_in_a_traceback() -> None:
    spec = AggregateSpec((("n", agg.count()), ("total", agg.sum(abs))), msgspec.defstruct("R", ["key", "n", "total"]))
    loop = Loops(spec).table(emit=True)
    assert inspect.getsource(loop.run) == loop.source
    assert loop.source == (
        "def loop(records, rows, load, emit):\n"
        "    get = rows.get\n"
        "    for k, v in records:\n"
        "        a1 = f1(v)\n"
        "        s = get(k)\n"
        "        if s is None:\n"
        "            s = load(k)\n"
        "        if s is None:\n"
        "            n0 = 1\n"
        "            n1 = 0 + a1\n"
        "            r = Result(k, n0, n1)\n"
        "            rows[k] = [n0, n1]\n"
        "        else:\n"
        "            n0 = s[0] + 1\n"
        "            n1 = s[1] + a1\n"
        "            r = Result(k, n0, n1)\n"
        "            s[0] = n0\n"
        "            s[1] = n1\n"
        "        emit(r)\n"
    )


def test_many_results_come_in_bounded_batches() -> None:
    bench = Bench(TableSpec(FoldSpec(int, one_more), "epoch"))
    bench.send([1] * 25_000, list(range(25_000)))
    assert [len(batch) for _, batch in bench.end_epoch()] == [10_000, 10_000, 5_000]


latest_records = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 9)), min_size=1, max_size=20)


@given(st.lists(latest_records, min_size=1, max_size=4), st.booleans())
def test_the_newest_value_stays_and_none_deletes(epochs: list[list[tuple[str, int | None]]], recover: bool) -> None:
    bench = Bench(LatestSpec("epoch"))
    table: dict[str, int] = {}
    for epoch in epochs:
        for start in range(0, len(epoch), 3):
            part = epoch[start : start + 3]
            assert bench.send([v for _, v in part], [k for k, _ in part]) == []
        newest = dict(epoch)
        out = bench.checkpoint()
        assert dict(zip(out.keys, out.values, strict=True)) == newest
        assert out.keys == list(dict.fromkeys(k for k, _ in epoch))
        for key, value in newest.items():
            table.pop(key, None)
            if value is not None:
                table[key] = value
        if recover:
            bench.recover()
    assert bench.state.row_count() == len(table)
    assert bench.table() == table


def test_a_table_of_newest_values_passes_updates_on_and_drops_null_keys() -> None:
    bench = Bench(LatestSpec("record"))
    out = bench.process(batch_of([1, 2, None], ["a", None, "a"]))[OUT]
    assert (out.keys, out.values, bench.counters.dropped) == (["a", "a"], [1, None], 1)
    assert bench.rows() == 0
    with pytest.raises(KeyNotUsable) as failure:
        bench.send([1, 2], ["a", {}])
    assert failure.value.offset == 101
