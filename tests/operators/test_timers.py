"""Timers of a ProcessFunction: event time and the wall clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rayflow.api.process import Context
from rayflow.api.state import value
from rayflow.core.errors import UserFunctionFailed
from rayflow.core.failures import DeadLetter, Skip
from rayflow.core.ids import WATERMARK_MAX
from rayflow.core.outputs import DEAD_LETTER
from rayflow.core.topics import TopicRef
from rayflow.operators.time_column import LAST_TIME
from tests.operators.scripted import Scripted, bench_of, run


class Timed(Scripted):
    def on_timer(self, at: int, ctx: Context) -> Any:
        yield (at, ctx.key, ctx.timestamp, ctx.headers, ctx.topic, ctx.partition, ctx.offset)


def test_event_timers_fire_in_order_of_time_then_key_once() -> None:
    bench = bench_of(Timed)
    for key, at in (("b", 20), ("a", 20), ("a", 30), ("c", 10), ("a", 20)):
        run(bench, key, 5, lambda s, c, at=at: c.timer_at(at))
    assert len(bench.watermark(9)) == 0
    bench.checkpoint()
    bench.recover()
    out = bench.watermark(20)
    assert [v[:2] for v in out.values] == [(10, "c"), (20, "a"), (20, "b")]
    assert (out.keys, out.timestamps) == (["c", "a", "b"], [10, 20, 20])
    assert out.values[0] == (10, "c", 10, [], "op", 3, -1)
    assert bench.last_event_time() == 30
    assert bench.watermark(30).keys == ["a"]
    assert bench.rows() == 0


def test_a_timer_set_for_the_past_fires_when_the_watermark_moves_next() -> None:
    bench = bench_of(Timed)
    bench.watermark(100)
    run(bench, "a", 105, lambda s, c: c.timer_at(50))
    assert bench.watermark(101).timestamps == [50]


def test_timer_in_counts_from_the_record_or_from_now() -> None:
    bench = bench_of(Timed)
    start = bench.now
    run(bench, "a", 1_000, lambda s, c: c.timer_in(timedelta(seconds=2)))
    run(bench, "b", 1_000, lambda s, c: c.timer_in(timedelta(seconds=3), clock="processing"))
    assert bench.watermark(2_999).values == []
    assert bench.watermark(3_000).timestamps == [3_000]
    assert bench.clock(start + 2_999).values == []
    bench.checkpoint()
    bench.recover()
    assert bench.clock(start + 3_000).timestamps == [start + 3_000]
    assert bench.rows() == 0


class Ticking(Scripted):
    ticks = value(0)

    def on_timer(self, at: int, ctx: Context) -> Any:
        self.ticks.set(self.ticks.get() + 1)
        ctx.timer_at(at + 10)
        ctx.timer_at(at - 1)
        return (f"{ctx.key}{at}",)


def test_a_timer_that_sets_itself_again_keeps_up_with_a_jump_in_order() -> None:
    bench = bench_of(Ticking)
    run(bench, "b", 0, lambda s, c: c.timer_at(10))
    run(bench, "a", 0, lambda s, c: c.timer_at(15))
    assert bench.watermark(30).values == ["b10", "a15", "b20", "a25", "b30"]
    assert bench.watermark(31).values[:3] == ["b9", "a14", "b19"]


def test_the_end_of_a_bounded_run_fires_what_is_there_once_and_keeps_what_that_sets() -> None:
    bench = bench_of(Ticking)
    run(bench, "a", 0, lambda s, c: c.timer_at(10))
    run(bench, "a", 0, lambda s, c: c.timer_at(10_000))
    assert bench.watermark(WATERMARK_MAX).values == ["a10", "a10000"]
    bench.checkpoint()
    bench.recover()
    assert bench.last_event_time() == 10_010
    assert bench.watermark(20).values == ["a9", "a19", "a20"]


class Failing(Scripted):
    def on_timer(self, at: int, ctx: Context) -> Any:
        return (10 // (at - 20),)


def test_a_failing_timer_names_the_operator_and_the_users_line() -> None:
    bench = bench_of(Failing)
    run(bench, "a", 0, lambda s, c: c.timer_at(20))
    with pytest.raises(UserFunctionFailed, match=r"in a timer, at test_timers.py:\d+ in on_timer") as failure:
        bench.watermark(20)
    assert failure.value.where == {"job": "job", "operator": "op", "partition": 3}


def test_a_failing_timer_can_be_skipped_or_dead_lettered() -> None:
    bench = bench_of(Failing, on_error=Skip())
    for at in (10, 20, 30):
        run(bench, "a", 0, lambda s, c, at=at: c.timer_at(at))
    assert bench.watermark(30).values == [-1, 1]
    assert bench.counters.errors == 1
    bench = bench_of(Failing, on_error=DeadLetter(TopicRef("bad")))
    run(bench, "a", 0, lambda s, c: c.timer_at(20))
    [(output, dead)] = bench.watermark_outputs(20)
    assert (output, dead.keys, dead.values) == (DEAD_LETTER, ["a"], [None])


def test_what_timers_emit_comes_in_bounded_batches() -> None:
    class Many(Scripted):
        def on_timer(self, at: int, ctx: Context) -> Any:
            return range(4_000)

    bench = bench_of(Many)
    for key in "abcd":
        run(bench, key, 0, lambda s, c: c.timer_at(5))
    assert [len(batch) for _, batch in bench.watermark_outputs(5)] == [12_000, 4_000]


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (lambda s, c: c.timer_at(2**63), r"timer_at\(\) is given a time beyond the year 9999"),
        (lambda s, c: c.timer_at(1_700_000_000_000_000_000), r"timer_at\(\) is given a time beyond the year 9999"),
        (lambda s, c: c.timer_at(-(2**63)), r"timer_at\(\) is given a time thousands of years ago"),
        (lambda s, c: c.timer_at(1.5), r"timer_at\(\) is given a time of type float"),
        (lambda s, c: c.timer_at(5, clock="wall"), r"timer_at\(\) is given clock='wall'"),
        (lambda s, c: c.timer_in(timedelta(seconds=5), clock="wall"), r"timer_at\(\) is given clock='wall'"),
        (lambda s, c: c.timer_in(5), r"timer_in\(\) is given a int"),
        (lambda s, c: c.timer_in(timedelta.max), r"timer_at\(\) is given a time beyond the year 9999"),
    ],
)
def test_a_timer_that_would_never_fire_is_an_error_of_its_record(act: Any, what: str) -> None:
    with pytest.raises(UserFunctionFailed, match=what) as caught:
        run(bench_of(Timed), "a", 5, act)
    assert (caught.value.operator, caught.value.offset) == ("op", 100)
    assert caught.value.advice.startswith(("Give", "Use"))
    bench = bench_of(Timed, on_error=Skip())
    run(bench, "a", 5, act)
    assert (bench.counters.errors, bench.rows()) == (1, 0)


def test_the_last_time_of_the_calendar_is_a_time() -> None:
    bench = bench_of(Timed)
    run(bench, "a", 5, lambda s, c: c.timer_at(LAST_TIME))
    assert [fired[0] for fired in bench.watermark(LAST_TIME).values] == [LAST_TIME]
