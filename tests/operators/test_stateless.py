"""map, filter, flat_map, peek, print, key_by, group_by_key, merge, split."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.api.specs.functions import FilterSpec, FlatMapSpec, KeyBySpec, MapSpec, PeekSpec
from rayflow.api.specs.outputs import PrintSpec
from rayflow.api.specs.routing import GroupByKeySpec, MergeSpec, SplitSpec
from rayflow.core.errors import KeyNotUsable
from rayflow.core.failures import DeadLetter, Skip
from rayflow.core.outputs import DEAD_LETTER, OUT
from rayflow.core.topics import TopicRef
from tests.operators.harness import Bench, batch_of


def test_map_keeps_everything_but_the_values() -> None:
    batch = batch_of([1, 2], ["a", "b"], headers=[[("h", b"1")], []], lateness=[5, 6])
    out = Bench(MapSpec(lambda v: -v)).process(batch)[OUT]
    assert out == batch.with_values([-1, -2])
    assert batch.values == [1, 2]


def test_filter_keeps_what_passes_and_the_same_batch_when_all_pass() -> None:
    bench = Bench(FilterSpec(lambda v: v % 2))
    out = bench.process(batch_of([1, 2, 3]))[OUT]
    assert (out.values, list(out.offsets)) == ([1, 3], [100, 102])
    odd = batch_of([1, 3])
    assert bench.process(odd)[OUT] is odd
    assert bench.process(batch_of([2])) == {}


def test_flat_map_repeats_the_record_for_each_value() -> None:
    bench = Bench(FlatMapSpec(lambda v: None if v == 0 else range(v)))
    out = bench.process(batch_of([2, 0, 1, 3], ["a", "b", "c", "d"], headers=[[("n", b"%d" % i)] for i in range(4)]))[
        OUT
    ]
    assert out.values == [0, 1, 0, 0, 1, 2]
    assert out.keys == ["a", "a", "c", "d", "d", "d"]
    assert out.offsets == [100, 100, 102, 103, 103, 103]
    assert out.headers is not None
    assert [h[0][1] for h in out.headers] == [b"0", b"0", b"2", b"3", b"3", b"3"]
    assert bench.send([0, 0]) == []


NULLS = "the function of map() returned None for every value of its first batch: null values (tombstones)"
CHARACTERS = "the function of flat_map() returned a str: its characters become the results"
NOTHING = "the function of flat_map() returned None for every value of its first batch: there are no results"


@pytest.mark.parametrize(
    ("spec", "values", "warnings"),
    [
        (MapSpec(lambda v: v.clear()), [[1], [2]], [NULLS]),
        (MapSpec(lambda v: v or None), [0, 1], []),
        (MapSpec(lambda v: v), [None], []),
        (FlatMapSpec(lambda v: v.clear()), [[1], [2]], [NOTHING]),
        (FlatMapSpec(lambda v: v), ["ab", "cd"], [CHARACTERS]),
        (FlatMapSpec(lambda v: v), [[1], None], []),
        (FlatMapSpec(lambda v: (x for x in v)), [[1]], []),
    ],
)
def test_what_is_probably_a_mistake_is_told_once_at_the_first_batch(spec: Any, values: Any, warnings: Any) -> None:
    bench = Bench(spec)
    for _ in range(3):
        bench.send(list(values))
    assert bench.warnings == warnings


def test_peek_passes_records_on_and_ignores_what_the_function_returns() -> None:
    seen: list[int] = []
    batch = batch_of([1, 2])
    assert Bench(PeekSpec(seen.append)).process(batch)[OUT] is batch
    assert seen == [1, 2]


def test_print_writes_label_key_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    batch = batch_of([1, "x"], ["k", None])
    assert Bench(PrintSpec("orders")).process(batch)[OUT] is batch
    assert capsys.readouterr().out == "orders: 'k' 1\norders: 'x'\n"


def test_print_escapes_what_a_terminal_would_act_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Painted:
        def __repr__(self) -> str:
            return "\x1b[31m\u202ered\n  and more"

    Bench(PrintSpec("")).process(batch_of([Painted(), "\x1b"]))
    assert capsys.readouterr().out == "\\u001b[31m\\u202ered\n  and more\n'\\x1b'\n"


def test_key_by_replaces_the_keys() -> None:
    assert Bench(KeyBySpec(lambda v: v % 2)).process(batch_of([1, 2, 3]))[OUT].keys == [1, 0, 1]


def test_a_key_of_none_is_an_error_of_its_record() -> None:
    batch = batch_of([{"k": "x"}, {}, {"k": 1.0}])
    with pytest.raises(KeyNotUsable, match=r"key_by\(\) gave None") as caught:
        Bench(KeyBySpec(lambda v: v.get("k"))).process(batch)
    assert (caught.value.operator, caught.value.topic, caught.value.offset) == ("op", "orders", 101)
    skipping = Bench(KeyBySpec(lambda v: v.get("k"), Skip()))
    assert skipping.process(batch)[OUT].keys == ["x", 1]
    assert skipping.counters.errors == 1
    out = Bench(KeyBySpec(lambda v: v.get("k"), DeadLetter(TopicRef("dead")))).process(batch)
    assert (out[OUT].keys, out[DEAD_LETTER].values) == (["x", 1], [{}])
    assert ("rayflow.error", b"RF-2006") in (out[DEAD_LETTER].headers or [])[0]


def test_group_by_key_drops_and_counts_null_keys() -> None:
    bench = Bench(GroupByKeySpec())
    assert bench.process(batch_of([1, 2, 3], [b"a", None, b"b"]))[OUT].keys == [b"a", b"b"]
    assert bench.counters.dropped == 1


@pytest.mark.parametrize("spec", [KeyBySpec(lambda v: v), GroupByKeySpec()])
def test_keys_that_python_holds_for_equal_become_one_key(spec: KeyBySpec | GroupByKeySpec) -> None:
    keys = [1, 1.0, True, -0.0, 1.5, "1", (2.0, (False, "a")), float("inf")]
    out = Bench(spec).process(batch_of(keys, keys))[OUT]
    assert repr(out.keys) == repr([1, 1, 1, 0, 1.5, "1", (2, (0, "a")), float("inf")])
    plain = [1, "a", (b"b", 3)]
    assert Bench(spec).process(batch_of(plain, plain))[OUT].keys == plain


def test_merge_passes_batches_on() -> None:
    batch = batch_of([1])
    assert Bench(MergeSpec()).process(batch)[OUT] is batch


def test_split_sends_each_record_to_the_first_branch_that_holds() -> None:
    bench = Bench(SplitSpec((("small", lambda v: v < 3), ("even", lambda v: v % 2 == 0))))
    out = bench.process(batch_of([1, 2, 3, 4, 5]))
    assert {output: batch.values for output, batch in out.items()} == {"small": [1, 2], "even": [4], OUT: [3, 5]}
