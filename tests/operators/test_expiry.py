"""Time to live of state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rayflow.api.process import Context
from rayflow.api.state import list_, map_, value
from rayflow.core.ids import WATERMARK_MAX
from tests.operators.scripted import Scripted, bench_of, run

TTL = 60_000


class Forgetful(Scripted):
    total = value(0, ttl=timedelta(milliseconds=TTL))
    items = list_(ttl=timedelta(milliseconds=TTL))
    prices = map_(ttl=timedelta(milliseconds=TTL))


LOOK = lambda s, c: (s.total.get(), s.items.get(), list(s.prices.items()))  # noqa: E731


def fill(s: Any, c: Context) -> None:
    s.total.set(1)
    s.items.append(1)
    s.prices.set("x", 1)


def test_state_is_not_seen_from_its_last_write_and_ttl_on() -> None:
    bench = bench_of(Forgetful)
    run(bench, "a", 1_000, fill)
    assert run(bench, "a", 1_000 + TTL - 1, LOOK) == (1, [1], [("x", 1)])
    assert run(bench, "a", 1_000 + TTL, LOOK) == (0, [], [])
    assert run(bench, "a", 1_000 + TTL - 1, LOOK) == (1, [1], [("x", 1)])  # by the record's time, not by the order
    run(bench, "a", 1_000 + TTL, fill)  # what has expired does not come back with a new write
    assert run(bench, "a", 1_000 + TTL, LOOK) == (1, [1], [("x", 1)])
    assert run(bench, "a", 1_000 + 2 * TTL - 1, LOOK) == (1, [1], [("x", 1)])
    assert run(bench, "a", 1_000 + 2 * TTL, LOOK) == (0, [], [])


def test_an_older_record_does_not_shorten_a_life() -> None:
    bench = bench_of(Forgetful)
    run(bench, "a", 50_000, fill)
    run(bench, "a", 10_000, lambda s, c: s.total.set(2))
    assert run(bench, "a", 50_000 + TTL - 1, lambda s, c: s.total.get()) == 2


def test_the_watermark_counts_for_records_behind_it() -> None:
    bench = bench_of(Forgetful)
    run(bench, "a", 1_000, fill)
    bench.watermark(1_000 + TTL)
    assert run(bench, "a", 2_000, LOOK) == (0, [], [])


@pytest.mark.parametrize("recover", [False, True])
def test_expired_state_leaves_no_row_behind(recover: bool) -> None:
    bench = bench_of(Forgetful)
    bench.watermark(0)
    for step in range(40):
        run(bench, step % 3, step * 10_000, fill)
        bench.watermark(step * 10_000)
        if recover and step % 5 == 0:
            bench.checkpoint()
            bench.recover()
            bench.watermark(step * 10_000)
    last = 39 * 10_000
    assert run(bench, 0, last, lambda s, c: s.total.get()) == 1
    assert bench.rows() > 0
    bench.watermark(last + TTL + TTL // 16)
    assert bench.rows() == 0


def test_a_row_that_is_written_again_before_its_timer_fires_lives_on_from_its_last_write() -> None:
    bench = bench_of(Forgetful)
    bench.watermark(0)
    for moment in (0, 40_000):
        run(bench, "a", moment, lambda s, c: s.total.set("text"))
    bench.watermark(TTL + TTL // 16)  # the timer of the first write
    assert run(bench, "a", 40_000 + TTL - 1, lambda s, c: s.total.get()) == "text"
    assert bench.rows() == 2  # the row and its internal timer
    bench.watermark(40_000 + TTL + TTL // 16)
    assert bench.rows() == 0


def test_each_entry_of_a_map_has_its_own_life() -> None:
    bench = bench_of(Forgetful)
    bench.watermark(0)
    run(bench, "a", 0, lambda s, c: s.prices.set("old", 1))
    run(bench, "a", 40_000, lambda s, c: s.prices.set("young", 2))
    bench.watermark(TTL + 4_000)
    assert run(bench, "a", TTL + 4_000, lambda s, c: list(s.prices.items())) == [("young", 2)]
    assert bench.rows() == 2  # the entry and its internal timer


def test_without_a_watermark_state_expires_by_the_wall_clock() -> None:
    bench = bench_of(Forgetful)
    start = bench.now
    run(bench, "a", 5, fill)
    bench.clock(start + TTL - 1)
    assert run(bench, "a", 5, LOOK) == (1, [1], [("x", 1)])
    bench.clock(start + 30_000)
    run(bench, "a", 5, lambda s, c: s.total.set(2))
    bench.now = start + TTL
    assert run(bench, "a", 5, LOOK) == (2, [], [])
    bench.clock(start + 30_000 + TTL - 1)
    assert run(bench, "a", 5, lambda s, c: s.total.get()) == 2
    bench.clock(start + 30_000 + TTL + TTL // 16)
    assert bench.rows() == 0


def test_state_from_before_the_first_watermark_is_handed_over_to_event_time() -> None:
    bench = bench_of(Forgetful)
    start = bench.now
    run(bench, "a", 1_000, fill)
    bench.watermark(1_000)
    bench.clock(start + 10 * TTL)
    assert run(bench, "a", 2_000, LOOK) == (1, [1], [("x", 1)])
    bench.watermark(1_000 + TTL + TTL // 16)
    assert bench.rows() == 0


def test_state_that_event_time_has_outlived_when_it_is_handed_over_leaves_no_row_behind() -> None:
    bench = bench_of(Forgetful)
    start = bench.now
    run(bench, "a", 1_000, fill)
    bench.watermark(1_000 + 10 * TTL)  # and then nothing comes any more
    bench.clock(start + TTL + TTL // 16)
    assert bench.rows() == 0


def test_the_end_of_a_bounded_run_forgets_no_state() -> None:
    bench = bench_of(Forgetful)
    bench.watermark(0)
    run(bench, "a", 1_000, fill)
    bench.watermark(WATERMARK_MAX)
    assert run(bench, "a", 2_000, LOOK) == (1, [1], [("x", 1)])


def test_a_timer_sees_state_as_of_its_own_time() -> None:
    class Late(Forgetful):
        def on_timer(self, at: int, ctx: Context) -> Any:
            return (self.total.get(),)

    bench = bench_of(Late)
    bench.watermark(0)

    def act(s: Any, c: Context) -> None:
        fill(s, c)
        c.timer_at(1_000 + TTL - 1)
        c.timer_at(1_000 + TTL)

    run(bench, "a", 1_000, act)
    assert bench.watermark(10 * TTL).values == [1, 0]
    assert bench.rows() == 0


class Waiting(Forgetful):
    def on_timer(self, at: int, ctx: Context) -> Any:
        return [(at, ctx.watermark, self.total.get())]


@pytest.mark.parametrize("recover", [False, True])
def test_the_end_of_a_bounded_run_is_no_time_that_a_later_record_could_be_behind(recover: bool) -> None:
    bench = bench_of(Forgetful)
    run(bench, "a", 1_000, fill)
    bench.watermark(1_000)
    bench.watermark(WATERMARK_MAX)
    rows = bench.rows()
    assert rows > 0  # nothing has expired
    if recover:
        bench.recover()
        bench.watermark(1_000)
    assert run(bench, "a", 2_000, lambda s, c: c.watermark) == 1_000
    assert run(bench, "a", 1_000 + TTL - 1, LOOK) == (1, [1], [("x", 1)])
    bench.watermark(1_000 + TTL)
    assert run(bench, "a", 1_001, LOOK) == (0, [], [])


def test_a_timer_that_the_end_fires_sees_state_as_of_its_own_time() -> None:
    bench = bench_of(Waiting)
    run(bench, "a", 1_000, fill)
    for at in (2_000, 1_000 + TTL):
        run(bench, "a", 1_000, lambda s, c, at=at: c.timer_at(at))
    bench.watermark(1_500)
    assert [(at, seen) for at, _, seen in bench.watermark(WATERMARK_MAX).values] == [(2_000, 1), (1_000 + TTL, 0)]
    assert run(bench, "a", 2_000, lambda s, c: c.watermark) <= 1_000 + TTL
    assert run(bench, "b", 1_600, lambda s, c: c.watermark) < WATERMARK_MAX
