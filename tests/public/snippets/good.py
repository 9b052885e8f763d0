"""What a type checker must accept. Never run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from typing_extensions import assert_type

import rayflow as rf


class Order(rf.Record):
    id: int
    user: str
    price: float
    qty: int
    ts: int


class Revenue(rf.Record):
    key: str
    window_start: int
    total: float


class Fraud(rf.ProcessFunction[str, Order, Revenue]):
    total = rf.value(0.0, ttl=timedelta(days=1))
    seen: rf.ListState[int] = rf.list()
    prices: rf.MapState[str, float] = rf.map()

    def process(self, value: Order, ctx: rf.Context) -> Iterable[Revenue]:
        assert_type(self.total.get(), float)
        self.total.set(self.total.get() + value.price)
        self.seen.append(value.id)
        self.prices.set(value.user, value.price)
        if self.total.get() > 1_000:
            ctx.timer_in(timedelta(minutes=10))
            yield Revenue(ctx.key, ctx.timestamp, self.total.get())

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Revenue]:
        self.total.clear()
        return ()


class Spread(rf.Aggregation[float, list[float], float]):
    def create(self) -> list[float]:
        return []

    def add(self, accumulator: list[float], value: float) -> list[float]:
        accumulator.append(value)
        return accumulator

    def result(self, accumulator: list[float]) -> float:
        return max(accumulator) - min(accumulator)


def streams() -> None:
    job = rf.Job("revenue", checkpoint_interval=timedelta(seconds=5))
    orders = job.stream("orders", value=Order, timestamp=lambda o: o.ts, watermark=rf.bounded(seconds=5))
    assert_type(orders, rf.Stream[bytes, Order])
    assert_type(orders.map(lambda o: o.price * o.qty), rf.Stream[bytes, float])
    assert_type(orders.flat_map(lambda o: [o.id, o.qty]), rf.Stream[bytes, int])
    assert_type(orders.filter(lambda o: o.price > 0).peek(print), rf.Stream[bytes, Order])
    assert_type(job.stream("names", key=rf.int64, value=str), rf.Stream[int, str])
    assert_type(job.stream("any", key=str), rf.Stream[str, Any])
    assert_type(job.stream("any", value=rf.json), rf.Stream[bytes, Any])
    assert_type(job.stream("any", value=dict[str, int]), rf.Stream[bytes, dict[str, int]])
    assert_type(job.stream("any"), rf.Stream[bytes, Any])
    assert_type(orders.merge(orders.filter(lambda o: o.qty > 1)), rf.Stream[bytes, Order])
    assert_type(orders.merge(orders.map(lambda o: o.qty)), rf.Stream[bytes, Order | int])
    branches = orders.split(big=lambda o: o.qty > 100, small=lambda o: o.qty > 0)
    assert_type(branches["big"], rf.Stream[bytes, Order])
    assert_type(branches.rest, rf.Stream[bytes, Order])
    orders.to(rf.kafka("copy", bootstrap="eu:9092"), key=rf.text, headers=lambda o: [("user", o.user.encode())])
    job.stream("sampled", value=Order, sample=[Order(1, "ada", 1.0, 1, 0)], on_error=rf.dead_letter("dead"))
    orders.map(lambda o: o.qty, on_error=rf.skip)
    orders.map(lambda o: o.qty, on_error=lambda failed: rf.stop if failed.offset == 0 else rf.skip)


def keyed(orders: rf.Stream[bytes, Order]) -> None:
    by_user = orders.key_by(lambda o: o.user)
    assert_type(by_user, rf.KeyedStream[str, Order])
    assert_type(by_user.filter(lambda o: o.qty > 0), rf.KeyedStream[str, Order])
    assert_type(by_user.count(), rf.Table[str, int])
    assert_type(by_user.reduce(lambda a, b: a if a.price > b.price else b), rf.Table[str, Order])
    assert_type(by_user.fold(0.0, lambda total, o: total + o.price), rf.Table[str, float])
    assert_type(by_user.process(Fraud), rf.KeyedStream[str, Revenue])
    assert_type(by_user.process(lambda: Fraud()), rf.KeyedStream[str, Revenue])
    assert_type(by_user.process(Fraud).to_table(), rf.Table[str, Revenue])
    assert_type(by_user.count().changes().map(lambda count: str(count)), rf.KeyedStream[str, str])
    assert_type(by_user.map(lambda o: o.qty), rf.KeyedStream[str, int])
    assert_type(by_user.flat_map(lambda o: [o.qty]).count(), rf.Table[str, int])
    assert_type(by_user.merge(by_user.map(lambda o: o.qty)), rf.KeyedStream[str, Order | int])
    assert_type(by_user.merge(orders), rf.Stream[str | bytes, Order])
    assert_type(by_user.to_table(emit="record"), rf.Table[str, Order])
    assert_type(orders.group_by_key(), rf.KeyedStream[bytes, Order])
    totals = by_user.aggregate(total=rf.sum(lambda o: o.price), seen=rf.collect(lambda o: o.id), n=rf.count())
    assert_type(totals, rf.Table[str, Any])
    orders.map(lambda o: o.price).key_by(lambda p: int(p)).aggregate(spread=Spread(), least=rf.min())


def windowed(orders: rf.Stream[bytes, Order]) -> None:
    per_minute = orders.key_by(lambda o: o.user).window(rf.tumbling(minutes=1), grace=timedelta(seconds=10))
    assert_type(per_minute, rf.WindowedStream[str, Order])
    result = per_minute.late_to("late").aggregate(total=rf.sum(lambda o: o.price * o.qty), into=Revenue)
    assert_type(result, rf.KeyedStream[str, Revenue])
    result.map(lambda r: r.total).to("revenue-per-minute")
    assert_type(per_minute.count(emit="updates"), rf.KeyedStream[str, int])
    assert_type(per_minute.fold(0, lambda n, o: n + o.qty), rf.KeyedStream[str, int])
    orders.key_by(lambda o: o.user).window(rf.hopping(minutes=5, every=timedelta(minutes=1))).count()
