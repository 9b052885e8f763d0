"""A job of two stages with every kind of state, its input in three parts, and what it must have written.

The first two parts were run by the code of some version, whose log, state directory and savepoint are kept; the third
part is run by today's.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import rayflow as rf
from tests.e2e.brokers import Broker

FIRST_TIME = 1_700_000_000_000
CLOCK = FIRST_TIME + 1_000_000
"""Wall clock of the first two parts; a timer of an hour is then set, and due when the third part begins."""
HOUR = 3_600_000
WINDOW, HOP, EVERY, GRACE, OUT_OF_ORDER = 1_000, 2_000, 500, 200, 50
SILENCE = 700
"""A session ends so many ms after its last order; what it holds is forgotten after four times as many."""
PARTS, RECORDS, PARTITIONS, USERS, ITEMS = 3, 300, 2, 9, 5
SINKS = ("windows", "hops", "totals", "newest", "sessions", "reminders")


class Order(rf.Record):
    id: int
    user: str
    item: str
    amount: int
    ts: int


class Session(rf.Record):
    user: str
    count: int
    recent: list[int]
    items: dict[str, int]
    ended: bool


class Sessions(rf.ProcessFunction[str, Order, Session]):
    """Value, list and map states, one with a time to live; a timer of event time that is moved."""

    count = rf.value(0, ttl=timedelta(milliseconds=4 * SILENCE))
    ends = rf.value(0)
    recent: rf.ListState[int] = rf.list()
    items: rf.MapState[str, int] = rf.map()

    def process(self, order: Order, ctx: rf.Context) -> Iterable[Session]:
        self.count.set(self.count.get() + 1)
        self.ends.set(order.ts + SILENCE)
        self.recent.append(order.id)
        self.items.set(order.item, self.items.get(order.item, 0) + 1)
        ctx.timer_at(order.ts + SILENCE)
        yield self._session(ctx, ended=False)

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Session]:
        if at == self.ends.get():
            yield self._session(ctx, ended=True)
            self.recent.clear()
            self.items.clear()

    def _session(self, ctx: rf.Context, ended: bool) -> Session:
        return Session(ctx.key, self.count.get(), self.recent.get()[-3:], dict(self.items.items()), ended)


class Reminders(rf.ProcessFunction[str, Order, dict[str, Any]]):
    """A timer of the wall clock, set by the first order that waits."""

    waiting = rf.value(0)

    def process(self, order: Order, ctx: rf.Context) -> Iterable[dict[str, Any]]:
        if not self.waiting.get():
            ctx.timer_in(timedelta(milliseconds=HOUR), clock="processing")
        self.waiting.set(self.waiting.get() + 1)
        return ()

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[dict[str, Any]]:
        yield {"user": ctx.key, "orders": self.waiting.get()}
        self.waiting.clear()


def golden_job() -> rf.Job:
    """The job. Operators keep the names under which their states are stored."""
    job = rf.Job("golden")
    orders = job.stream(
        "orders", key=str, value=Order, timestamp=lambda o: o.ts, watermark=rf.bounded(milliseconds=OUT_OF_ORDER)
    )
    by_user = orders.group_by_key(name="by-user")
    by_user.process(Sessions, name="sessions").to("sessions", name="to-sessions")
    by_user.process(Reminders, name="reminders").to("reminders", name="to-reminders")
    by_user.to_table(name="newest").to("newest", name="to-newest")
    by_item = orders.key_by(lambda o: o.item, name="by-item")
    by_item.aggregate(count=rf.count(), total=rf.sum(lambda o: o.amount), emit="record", name="totals").to(
        "totals", name="to-totals"
    )
    by_item.window(rf.tumbling(milliseconds=WINDOW), grace=timedelta(milliseconds=GRACE)).aggregate(
        count=rf.count(), total=rf.sum(lambda o: o.amount), name="windows"
    ).to("windows", name="to-windows")
    by_item.window(rf.hopping(milliseconds=HOP, every=timedelta(milliseconds=EVERY))).aggregate(
        users=rf.distinct(lambda o: o.user), most=rf.max(lambda o: o.amount), name="hops"
    ).to("hops", name="to-hops")
    return job


def part(number: int) -> list[Order]:
    """One part of the input, always the same; each goes on in time where the one before ends, a little out of order."""
    draw = random.Random(number)
    first = number * RECORDS
    return [
        Order(
            id,
            f"user-{draw.randrange(USERS)}",
            f"item-{draw.randrange(ITEMS)}",
            draw.randrange(1, 100),
            FIRST_TIME + 17 * id - draw.randrange(40),
        )
        for id in range(first, first + RECORDS)
    ]


def feed(broker: Broker, number: int) -> None:
    """Write one part to the topic."""
    broker.append("orders", [(order.user, order, order.ts) for order in part(number)])


def output(broker: Broker) -> dict[str, Any]:
    """What the job has written: per topic and key the values in order, where there is one; of the topics behind the
    exchange in an order of their own, since records of a key come there from two partitions."""
    found: dict[str, Any] = {topic: broker.by_key(topic) for topic in SINKS}
    found["totals"] = {
        key: [value["count"] for value in values] + values[-1:] for key, values in found["totals"].items()
    }
    found["newest"] = {key: values[-1] for key, values in found["newest"].items()}
    for topic in ("windows", "hops"):
        found[topic] = {
            key: sorted(({**value, "users": value.get("users")} for value in values), key=lambda v: v["window_start"])
            for key, values in found[topic].items()
        }
    return found


def expected_totals() -> dict[str, list[Any]]:
    """The part "totals" of the output, in plain Python."""
    orders = [order for number in range(PARTS) for order in part(number)]
    found = {}
    for item in sorted({order.item for order in orders}):
        amounts = [order.amount for order in orders if order.item == item]
        last = {"key": item, "count": len(amounts), "total": sum(amounts)}
        found[item] = [*range(1, len(amounts) + 1), last]
    return found


def expected_windows() -> dict[str, list[Any]]:
    """The part "windows" of the output, in plain Python."""
    held: dict[tuple[str, int], list[int]] = defaultdict(list)
    for number in range(PARTS):
        for order in part(number):
            held[order.item, order.ts - order.ts % WINDOW].append(order.amount)
    found: dict[str, list[Any]] = defaultdict(list)
    for (item, start), amounts in sorted(held.items()):
        found[item].append(
            {
                "key": item,
                "window_start": start,
                "window_end": start + WINDOW,
                "count": len(amounts),
                "total": sum(amounts),
                "users": None,
            }
        )
    return dict(found)
