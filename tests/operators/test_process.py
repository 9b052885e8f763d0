"""ProcessFunction: results and state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.api.process import Context, ProcessFunction
from rayflow.api.state import list_, map_, value
from rayflow.core.errors import InvalidJob, KeyNotUsable, UserFunctionFailed
from rayflow.core.failures import Skip
from rayflow.core.ids import WATERMARK_MIN
from rayflow.core.outputs import OUT
from tests.operators.harness import batch_of
from tests.operators.scripted import Scripted, bench_of, run


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


class StatefulWithTimers(Stateful):
    def on_timer(self, at: int, ctx: Context) -> Any:
        return []


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


class Timed(Scripted):
    def on_timer(self, at: int, ctx: Context) -> Any:
        return (at,)


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


def test_a_state_that_is_replaced_unseen_stops_the_job_whatever_on_error_says() -> None:
    for send in (
        lambda bench: run(bench, "a", 1, lambda s, c: setattr(s, "total", 5)),
        lambda bench: (
            run(bench, "a", 1, lambda s, c: c.timer_at(10)),
            setattr(bench._operator.function, "total", 5),
            bench.watermark(20),
        ),
    ):
        bench = bench_of(StatefulWithTimers, on_error=Skip())
        with pytest.raises(InvalidJob, match="StatefulWithTimers replaced its state 'total' by an attribute") as caught:
            send(bench)
        assert (caught.value.operator, caught.value.advice) == (
            "op",
            "Write self.total.set(x), and self.total.clear() to remove it",
        )


def test_one_result_instead_of_several_is_an_error_that_says_so() -> None:
    class Echo(ProcessFunction[Any, Any, Any]):
        def process(self, value: Any, ctx: Context) -> Any:
            return value

    with pytest.raises(UserFunctionFailed, match="one result, not an iterable of results: 'int' object") as caught:
        bench_of(Echo).send([5], ["a"])
    assert (caught.value.offset, caught.value.advice) == (100, "Return a list, or write yield instead of return")


@pytest.mark.parametrize(("given", "parts"), [("ab", "str: its characters"), ({"a": 1}, "dict: its keys")])
def test_one_result_that_can_be_iterated_is_told_of_once(given: Any, parts: str) -> None:
    class Echo(ProcessFunction[Any, Any, Any]):
        def process(self, value: Any, ctx: Context) -> Any:
            return value

    bench = bench_of(Echo)
    for _ in range(3):
        bench.send([given], ["a"])
    assert bench.warnings == [f"process() returned a {parts} become the results"]


def test_a_function_that_cannot_be_made_names_its_line() -> None:
    class Broken(Scripted):
        def __init__(self) -> None:
            raise RuntimeError("secret")

    with pytest.raises(UserFunctionFailed, match=r"RuntimeError while .* at test_process.py:\d+ in __init__"):
        bench_of(Broken)
