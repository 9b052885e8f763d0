"""Windows of event time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rayflow.api.aggregations as agg
from rayflow.api.specs.reducers import AggregateSpec, FoldSpec, one_more
from rayflow.api.specs.stream import StreamSpec, WatermarkStrategy
from rayflow.api.specs.window import Window, WindowSpec
from rayflow.core.batch import Batch, Headers
from rayflow.core.failures import DeadLetter, Skip
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.core.outputs import DEAD_LETTER, LATE, OUT
from rayflow.core.topics import TopicRef
from tests.operators.harness import Bench, SourceBench, batch_of
from tests.operators.test_stream import Raw


class PerWindow(msgspec.Struct, frozen=True):
    key: str
    window_start: int
    window_end: int
    count: int
    total: int


AGGREGATE = AggregateSpec((("count", agg.count()), ("total", agg.sum())), PerWindow)


def window(size: int, every: int | None = None, grace: int = 0, emit: Any = "final", reducer: Any = AGGREGATE) -> Bench:
    return Bench(WindowSpec(Window(size, every or size), grace, emit, reducer, late=True))


def test_a_window_is_emitted_once_when_the_watermark_reaches_its_end_and_grace() -> None:
    bench = window(10, grace=5)
    bench.send([1, 2, 3, 4], ["b", "a", "b", "a"], [0, 9, 3, 10])
    assert len(bench.watermark(14)) == 0
    out = bench.watermark(15)
    assert out.values == [PerWindow("a", 0, 10, 1, 2), PerWindow("b", 0, 10, 2, 4)]
    assert (out.keys, out.timestamps) == (["a", "b"], [9, 9])
    assert out.origin == ("op", 3)
    assert bench.watermark(25).values == [PerWindow("a", 10, 20, 1, 4)]
    assert bench.rows() == 0


def test_windows_are_emitted_in_order_of_their_end_then_key() -> None:
    bench = window(10)
    bench.send([1] * 4, ["b", "z", "a", "a"], [25, 15, 15, 5])
    assert [(r.window_start, r.key) for r in bench.watermark(WATERMARK_MAX).values] == [
        (0, "a"),
        (10, "a"),
        (10, "z"),
        (20, "b"),
    ]


def test_times_before_1970_fall_into_windows_as_well() -> None:
    bench = window(10)
    bench.send([1, 2], ["a", "a"], [-1, -10])
    assert bench.watermark(0).values == [PerWindow("a", -10, 0, 2, 3)]


def test_a_record_counts_in_every_hopping_window_that_holds_it() -> None:
    bench = window(10, every=4)
    bench.send([1, 1], ["a", "a"], [5, 7])
    assert [(r.window_start, r.count) for r in bench.watermark(100).values] == [(-4, 1), (0, 2), (4, 2)]


def test_late_records_are_counted_and_go_to_the_late_port_as_they_came() -> None:
    bench = window(10, grace=5)
    bench.watermark(15)
    out = bench.process(batch_of([1, 2, 3], ["a", "b", "c"], [9, 10, 0]))
    assert (out[LATE].values, out[LATE].timestamps, list(out[LATE].offsets)) == ([1, 3], [9, 0], [100, 102])
    assert bench.counters.late == 2
    assert [r.key for r in bench.watermark(25).values] == ["b"]
    assert bench.process(batch_of([1], ["a"], [0]))[LATE].values == [1]


def test_late_records_are_counted_even_where_nobody_takes_them() -> None:
    bench = Bench(WindowSpec(Window(10, 10), 0, "final", AGGREGATE))
    bench.watermark(10)
    assert bench.process(batch_of([1], ["a"], [9])) == {}
    assert bench.counters.late == 1


def test_a_records_own_lateness_counts_where_the_operators_watermark_is_behind() -> None:
    bench = window(10)
    out = bench.process(batch_of([1, 2, 3], ["a"] * 3, [1, 25, 2], lateness=[-5, -5, 24]))
    assert out[LATE].values == [3]
    assert [(r.window_start, r.total) for r in bench.watermark(100).values] == [(0, 1), (20, 2)]


def test_a_record_that_is_late_for_some_of_its_windows_counts_in_the_others() -> None:
    bench = window(10, every=5)
    bench.watermark(10)
    out = bench.process(batch_of([1, 2], ["a", "a"], [7, 4]))
    assert (out[LATE].values, bench.counters.late) == ([2], 1)
    assert [(r.window_start, r.total) for r in bench.watermark(100).values] == [(5, 1)]
    bench = window(10, every=5)
    bench.process(batch_of([1, 2, 3], ["a"] * 3, [7, 7, 7], lateness=[5, 10, 5]))
    assert [(r.window_start, r.total) for r in bench.watermark(100).values] == [(0, 4), (5, 6)]


def test_updates_come_at_once_and_the_window_closes_silently() -> None:
    bench = window(10, emit="updates")
    out = bench.process(batch_of([1, 2, 3], ["a", "b", "a"], [3, 12, 4], headers=[[], [], [("h", b"")]]))[OUT]
    assert out.values == [PerWindow("a", 0, 10, 1, 1), PerWindow("b", 10, 20, 1, 2), PerWindow("a", 0, 10, 2, 4)]
    assert (out.timestamps, out.headers) == ([3, 12, 4], None)
    assert len(bench.watermark(10)) == 0
    assert bench.rows() == 1
    hopping = window(10, every=5, emit="updates")
    out = hopping.process(batch_of([1, 2], ["a", "a"], [7, 8]))[OUT]
    assert [(r.window_start, r.total) for r in out.values] == [(0, 1), (5, 1), (0, 3), (5, 3)]
    assert (out.keys, out.timestamps) == (["a"] * 4, [7, 7, 8, 8])


def test_the_result_of_a_fold_is_its_accumulator() -> None:
    counts = window(10, reducer=FoldSpec(int, one_more))
    counts.send([None] * 3, ["a", "b", "a"], [1, 2, 3])
    assert counts.watermark(10).values == [2, 1]
    lists = window(10, every=5, reducer=FoldSpec(list, lambda found, v: [*found, v]))
    lists.send([1, 2], ["a", "a"], [7, 12])
    assert lists.watermark(100).values == [[1], [1, 2], [2]]


@pytest.mark.parametrize("every", [None, 5])
@pytest.mark.parametrize("emit", ["final", "updates"])
def test_a_failing_record_leaves_no_trace_in_any_window(every: int | None, emit: Any) -> None:
    bench = window(10, every, emit=emit, reducer=AggregateSpec(AGGREGATE.aggregations, PerWindow, Skip()))
    bench.send([1, "x", 2, "y"], ["a", "a", "a", "new"], [6, 7, 8, 8])
    assert bench.counters.errors == 2
    assert bench.rows() == (2 if every else 1)
    if emit == "final":
        assert {(r.key, r.total) for r in bench.watermark(100).values} == {("a", 3)}


@pytest.mark.parametrize("every", [None, 5])
@pytest.mark.parametrize("emit", ["final", "updates"])
def test_a_failing_record_goes_to_the_dead_letters_once_as_it_came(every: int | None, emit: Any) -> None:
    reducer = AggregateSpec(AGGREGATE.aggregations, PerWindow, DeadLetter(TopicRef("bad")))
    bench = window(10, every, emit=emit, reducer=reducer)
    headers: list[Headers] = [[], [("h", b"1")], [], [("h", b"3")]]
    out = bench.process(batch_of([1, "x", 2, "y"], ["a", "a", "a", "new"], [6, 7, 8, 9], headers=headers))
    dead = out[DEAD_LETTER]
    assert (dead.keys, dead.values, dead.timestamps, list(dead.offsets)) == (
        ["a", "new"],
        ["x", "y"],
        [7, 9],
        [101, 103],
    )
    assert dead.headers is not None
    assert [(mine[0], dict(mine)["rayflow.offset"]) for mine in dead.headers] == [
        (("h", b"1"), b"101"),
        (("h", b"3"), b"103"),
    ]
    assert (bench.counters.errors, bench.counters.dead_letters) == (2, 2)
    if emit == "updates":
        assert [(r.window_start, r.total) for r in out[OUT].values] == (
            [(0, 1), (5, 1), (0, 3), (5, 3)] if every else [(0, 1), (0, 3)]
        )
    assert [r.total for r in bench.watermark(100).values] == ([] if emit == "updates" else [3, 3] if every else [3])


@pytest.mark.parametrize("every", [None, 5])
def test_a_late_record_and_a_failing_one_of_one_batch_go_to_their_own_ports(every: int | None) -> None:
    reducer = AggregateSpec(AGGREGATE.aggregations, PerWindow, DeadLetter(TopicRef("bad")))
    bench = window(10, every, reducer=reducer)
    bench.watermark(20)
    out = bench.process(batch_of([1, 2, "x"], ["a"] * 3, [9, 21, 22]))
    assert {output: batch.values for output, batch in out.items()} == {LATE: [1], DEAD_LETTER: ["x"]}


@pytest.mark.parametrize("every", [None, 5])
def test_a_window_whose_result_fails_is_a_dead_letter_without_a_value(every: int | None) -> None:
    class NotThree(msgspec.Struct):
        total: int

        def __post_init__(self) -> None:
            if self.total == 3:
                raise ValueError

    reducer = AggregateSpec(AGGREGATE.aggregations, NotThree, DeadLetter(TopicRef("bad")))
    bench = window(10, every, reducer=reducer)
    bench.send([1, 2, 5], ["a", "a", "b"], [0, 1, 2])
    outputs = bench.watermark_outputs(10)
    ends = [4, 9] if every else [9]
    dead = [batch for output, batch in outputs if output == DEAD_LETTER]
    assert [(batch.keys, batch.values, batch.timestamps) for batch in dead] == [(["a"], [None], [end]) for end in ends]
    assert [batch.values for output, batch in outputs if output == OUT] == [[NotThree(5)]] * len(ends)
    assert bench.rows() == 0


def test_a_fold_that_fails_in_one_window_changes_none() -> None:
    def add(total: int, value: int) -> int:
        if total == 0 and value == 9:
            raise ValueError
        return total + value

    bench = window(10, every=5, reducer=FoldSpec(int, add, Skip()))
    bench.send([1, 9], ["a", "a"], [3, 7])  # the second one fails in its second window only
    out = bench.watermark(100)
    assert list(zip(out.timestamps, out.values, strict=True)) == [(4, 1), (9, 1)]


def test_the_last_event_time_is_what_the_end_of_a_bounded_run_closes() -> None:
    bench = window(10, grace=5)
    assert bench.last_event_time() is None
    bench.send([1, 2], ["a", "a"], [3, 33])
    bench.checkpoint()
    bench.recover()
    assert bench.last_event_time() == 45
    assert len(bench.watermark(WATERMARK_MAX)) == 2
    out = bench.process(batch_of([1, 2], ["a", "a"], [39, 40]))
    assert out[LATE].timestamps == [39]
    assert bench.watermark(55).values == [PerWindow("a", 40, 50, 1, 2)]


def test_final_results_come_in_bounded_batches() -> None:
    bench = window(10)
    bench.send([1] * 25_000, list(range(25_000)), [5] * 25_000)
    assert [len(batch) for _, batch in bench.watermark_outputs(10)] == [10_000, 10_000, 5_000]


SHAPES = [(10, 10), (20, 5), (20, 7), (16, 16), (9, 4)]


def windows_of(time: int, size: int, every: int) -> Iterator[int]:
    yield from range(time - time % every, time - size, -every)


@st.composite
def inputs(draw: Any) -> tuple[list[tuple[str, int, int]], int]:
    """Records (key, value, time) in bounded or wild disorder, and the disorder that the stream allows for."""
    count = draw(st.integers(1, 60))
    disorder = draw(st.integers(0, 30))
    time = 0
    records = []
    for _ in range(count):
        time += draw(st.integers(0, 8))
        stamp = max(0, time - draw(st.integers(0, disorder)))
        records.append((draw(st.sampled_from("abc")), draw(st.integers(0, 5)), stamp))
    return records, draw(st.sampled_from([0, disorder // 2, disorder]))


def oracle(
    records: list[tuple[str, int, int]], delay: int, size: int, every: int, grace: int
) -> tuple[list[PerWindow], list[int]]:
    """Results, and the indexes of late records, one record at a time."""
    newest: int | None = None
    found: dict[tuple[int, str], list[int]] = {}
    late = []
    for index, (key, value, time) in enumerate(records):
        met = WATERMARK_MIN if newest is None else newest - delay - 1
        still_open = [s for s in windows_of(time, size, every) if s + size + grace > met]
        if not still_open:
            late.append(index)
        for start in still_open:
            found.setdefault((start, key), []).append(value)
        newest = time if newest is None else max(newest, time)
    return [PerWindow(k, s, s + size, len(v), sum(v)) for (s, k), v in sorted(found.items())], late


@settings(max_examples=80, deadline=None)
@given(inputs(), st.sampled_from(SHAPES), st.sampled_from([0, 3, 12]), st.data())
def test_results_equal_plain_python_and_do_not_depend_on_batches_or_recoveries(
    given_input: tuple[list[tuple[str, int, int]], int], shape: tuple[int, int], grace: int, data: Any
) -> None:
    records, delay = given_input
    size, every = shape
    want, want_late = oracle(records, delay, size, every, grace)
    bench = window(size, every, grace)
    source = SourceBench(StreamSpec(Raw(), Raw(), watermark=WatermarkStrategy(delay)))
    got: list[PerWindow] = []
    late: list[int] = []
    at = 0
    while at < len(records):
        part = records[at : at + data.draw(st.integers(1, 20))]
        raw = batch_of([v for _, v, _ in part], [k for k, _, _ in part], [t for *_, t in part], first_offset=at)
        out = bench.process(source.process(raw)[OUT])
        late += out.get(LATE, Batch(raw.origin, [], [], [], [])).offsets
        if data.draw(st.integers(0, 3)):  # a watermark may also reach the operator later
            got += bench.watermark(source.event_time).values
        at += len(part)
        if data.draw(st.integers(0, 2)) == 0:
            bench.checkpoint()
            bench.recover()
            source.recover()
    got += bench.watermark(WATERMARK_MAX).values
    assert got == want
    assert late == want_late
    assert bench.rows() == 0
