"""ProcessFunction: results, state, TTL and timers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.api.process import Context, ProcessFunction
from rayflow.api.specs import ProcessSpec
from rayflow.api.state import list_, map_, value
from rayflow.core.errors import InvalidJob, KeyNotUsable, UserFunctionFailed
from rayflow.core.failures import DeadLetter, Skip
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.core.ports import DEAD_LETTER, OUT
from rayflow.core.topics import TopicRef
from tests.operators.harness import Bench, batch_of


def bench_of(function: type[Any], keyed: bool = True, **kw: Any) -> Bench:
    return Bench(ProcessSpec(function, keyed, **kw))


class Scripted(ProcessFunction[Any, Any, Any]):
    """Each value is a function of (self, ctx)."""

    def process(self, value: Any, ctx: Context) -> Iterable[Any]:
        found = value(self, ctx)
        return [] if found is None else [found]


def run(bench: Bench, key: Any, at: int, act: Any) -> Any:
    """Run one action for one key at one event time; returns its result."""
    results = bench.send([act], [key], [at])
    return results[0] if results else None


def test_the_context_tells_everything_of_the_record() -> None:
    class Tell(ProcessFunction[Any, Any, Any]):
        def process(self, value: Any, ctx: Context) -> Any:
            yield (value, ctx.key, ctx.timestamp, ctx.watermark, ctx.headers, ctx.topic, ctx.partition, ctx.offset)
            ctx.headers.append(("mine", b""))
            if value == 2:
                yield "again"

    bench = bench_of(Tell)
    batch = batch_of([1, 2], ["a", "b"], [10, 20], headers=[[("h", b"1")], []])
    out = bench.process(batch)[OUT]
    assert out.values == [
        (1, "a", 10, WATERMARK_MIN, [("h", b"1"), ("mine", b"")], "orders", 3, 100),
        (2, "b", 20, WATERMARK_MIN, [("mine", b"")], "orders", 3, 101),
        "again",
    ]
    assert (out.keys, out.timestamps, list(out.offsets)) == (["a", "b", "b"], [10, 20, 20], [100, 101, 101])
    assert batch.headers == [[("h", b"1")], []]
    bench.watermark(15)
    assert bench.send([3], ["a"])[0][3] == 15


def test_none_stands_for_no_results() -> None:
    assert bench_of(Scripted).send([lambda s, c: None], ["a"]) == []


class Stateful(Scripted):
    total = value(0)
    items = list_()
    prices = map_()


def test_state_belongs_to_the_key_and_survives_a_recovery() -> None:
    bench = bench_of(Stateful)
    run(bench, "a", 1, lambda s, c: s.total.set(5))
    run(bench, "a", 1, lambda s, c: s.items.extend([1, None]))
    run(bench, "a", 1, lambda s, c: s.prices.set("x", None))
    bench.checkpoint()
    bench.recover()
    run(bench, "a", 1, lambda s, c: s.items.append(3))
    run(bench, "a", 1, lambda s, c: s.prices.set("w", 2))
    look = lambda s, c: (  # noqa: E731
        s.total.get(),
        s.items.get(),
        len(s.items),
        list(s.items),
        list(s.prices.items()),
        "x" in s.prices,
        s.prices.get("x", 9),
        s.prices.get("z", 9),
    )
    assert run(bench, "a", 1, look) == (5, [1, None, 3], 3, [1, None, 3], [("w", 2), ("x", None)], True, None, 9)
    assert run(bench, "b", 1, look) == (0, [], 0, [], [], False, 9, 9)
    assert run(bench, "a", 1, lambda s, c: (list(s.prices.keys()), list(s.prices.values()))) == (["w", "x"], [2, None])


def test_a_value_set_to_none_is_not_the_default() -> None:
    bench = bench_of(Stateful)
    run(bench, "a", 1, lambda s, c: s.total.set(None))
    assert run(bench, "a", 1, lambda s, c: [s.total.get()]) == [None]
    run(bench, "a", 1, lambda s, c: s.total.clear())
    assert run(bench, "a", 1, lambda s, c: [s.total.get()]) == [0]


def test_cleared_state_leaves_no_row() -> None:
    class Limited(Scripted):
        total = value(0, ttl=timedelta(hours=1))
        items = list_(ttl=timedelta(hours=1))
        prices = map_(ttl=timedelta(hours=1))

    for function in (Stateful, Limited):
        bench = bench_of(function)

        def fill(s: Any, c: Context) -> None:
            s.total.set(1)
            s.items.set([1, 2])
            s.items.append(3)
            s.prices.set("x", 1)
            s.prices.set("y", 1)

        def clear(s: Any, c: Context) -> None:
            s.total.clear()
            s.items.clear()
            s.prices.remove("x")
            s.prices.remove("never")
            s.prices.clear()

        run(bench, "a", 1, fill)
        assert bench.rows() > 0
        run(bench, "a", 1, clear)
        assert bench.rows() == 0
        run(bench, "a", 1, fill)
        run(bench, "a", 1, clear)
        assert bench.rows() == 0


operations = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 3), st.integers(0, 9)),
        st.tuples(st.just("remove"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("clear"), st.just(0), st.just(0)),
        st.tuples(st.just("append"), st.just(0), st.integers(0, 9)),
        st.tuples(st.just("replace"), st.just(0), st.integers(0, 3)),
        st.tuples(st.just("clear list"), st.just(0), st.just(0)),
        st.tuples(st.just("checkpoint"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@given(operations)
def test_lists_and_maps_behave_like_pythons(steps: list[tuple[str, int, int]]) -> None:
    bench = bench_of(Stateful)
    model: dict[int, int] = {}
    items: list[int] = []
    for what, item, number in steps:
        if what == "set":
            model[item] = number
            run(bench, "k", 1, lambda s, c, i=item, n=number: s.prices.set(i, n))
        elif what == "remove":
            model.pop(item, None)
            run(bench, "k", 1, lambda s, c, i=item: s.prices.remove(i))
        elif what == "clear":
            model.clear()
            run(bench, "k", 1, lambda s, c: s.prices.clear())
        elif what == "append":
            items.append(number)
            run(bench, "k", 1, lambda s, c, n=number: s.items.append(n))
        elif what == "replace":
            items = items[:number]
            run(bench, "k", 1, lambda s, c, n=number: s.items.set(s.items.get()[:n]))
        elif what == "clear list":
            items = []
            run(bench, "k", 1, lambda s, c: s.items.clear())
        else:
            bench.checkpoint()
            bench.recover()
        got = run(bench, "k", 1, lambda s, c: (list(s.prices.items()), s.items.get(), len(s.items)))
        assert got == (sorted(model.items()), items, len(items))
    assert bench.rows() == len(model) + (len(items) + 1 if items else 0)


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
    assert bench.operator.last_event_time() == 30
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
    assert bench.operator.last_event_time() == 10_010
    assert bench.watermark(20).values == ["a9", "a19", "a20"]


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


class Failing(Scripted):
    def on_timer(self, at: int, ctx: Context) -> Any:
        return (10 // (at - 20),)


def test_a_failing_timer_names_the_operator_and_the_users_line() -> None:
    bench = bench_of(Failing)
    run(bench, "a", 0, lambda s, c: c.timer_at(20))
    with pytest.raises(UserFunctionFailed, match=r"in a timer, at test_process.py:\d+ in on_timer") as failure:
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
    [(port, dead), *_] = [output for output in bench.operator.on_watermark(20) if len(output[1])]
    assert (port, dead.keys, dead.values) == (DEAD_LETTER, ["a"], [None])


def test_a_failing_record_emits_nothing_and_the_next_ones_go_on() -> None:
    class Half(ProcessFunction[Any, Any, Any]):
        def process(self, value: int, ctx: Context) -> Any:
            yield value
            yield 10 // value

    bench = bench_of(Half, on_error=Skip())
    out = bench.process(batch_of([5, 0, 2], ["a", "b", "c"]))[OUT]
    assert (out.values, out.keys) == ([5, 2, 2, 5], ["a", "a", "c", "c"])
    with pytest.raises(UserFunctionFailed, match="ZeroDivisionError") as failure:
        bench_of(Half).send([1, 0], ["a", "b"])
    assert failure.value.offset == 101


def test_a_key_that_cannot_be_used_is_named_with_its_place() -> None:
    with pytest.raises(KeyNotUsable) as failure:
        run(bench_of(Stateful), [], 1, lambda s, c: s.total.set(1))
    assert failure.value.offset == 100
    with pytest.raises(KeyNotUsable) as failure:
        run(bench_of(Stateful), frozenset(), 1, lambda s, c: s.total.get())
    assert failure.value.offset == 100


def test_an_unkeyed_stream_has_neither_state_nor_timers() -> None:
    with pytest.raises(InvalidJob, match="'total' belongs to a key"):
        bench_of(Stateful, keyed=False)
    unkeyed = bench_of(Timed, keyed=False)
    with pytest.raises(InvalidJob, match="A timer is set, but the stream is not keyed"):
        run(unkeyed, None, 1, lambda s, c: c.timer_at(5))
    assert run(unkeyed, None, 1, lambda s, c: c.timestamp) == 1


def test_a_timer_without_on_timer_is_an_error() -> None:
    with pytest.raises(InvalidJob, match="its class has no on_timer"):
        run(bench_of(Stateful), "a", 1, lambda s, c: c.timer_at(5))


def test_a_function_that_cannot_be_made_names_its_line() -> None:
    class Broken(Scripted):
        def __init__(self) -> None:
            raise RuntimeError("secret")

    with pytest.raises(UserFunctionFailed, match=r"RuntimeError while .* at test_process.py:\d+ in __init__"):
        bench_of(Broken)


def test_what_timers_emit_comes_in_bounded_batches() -> None:
    class Many(Scripted):
        def on_timer(self, at: int, ctx: Context) -> Any:
            return range(4_000)

    bench = bench_of(Many)
    for key in "abcd":
        run(bench, key, 0, lambda s, c: c.timer_at(5))
    assert [len(batch) for _, batch in bench.operator.on_watermark(5)] == [12_000, 4_000]
