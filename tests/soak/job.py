"""The job of the soak, run by `rayflow run`: two stages, two exchanges, every kind of state that must be cleaned up.

Visits are keyed by session in their topic. Sessions come and go, and never come again; shops stay. Whatever belongs to
a session must therefore leave the state again: windows by their end, counts by their TTL, `open` by a timer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import rayflow as rf

OUT_OF_ORDER = 200
"""How far behind the newest one of its partition a visit may be without being late, ms."""
LIFE = 3_000
"""A session's visits come within so many ms of its first one."""
CLOSES = LIFE + 2_000
"""The timer of a session, ms after its first visit: when it fires, the session's visits have all come."""
TTL = 8_000
"""Longer than any pause within a session, so no count is forgotten too early, ms."""
WINDOW, GRACE = 1_000, 500
"""Windows per session, ms."""
HOP, EVERY = 2_000, 1_000
"""Windows per shop, ms."""
REMIND = 700
"""How long a reminder waits for more visits, ms of wall clock."""
CLOSED = -1
"""Stands for the visit's id where a session is closed."""


class Visit(rf.Record):
    """One record of the input."""

    id: int
    session: str
    shop: str
    amount: int
    ts: int


class Echo(rf.Record):
    """What a visit has found in its session's state: the how manieth it is, and of how many shops by now."""

    session: str
    n: int
    id: int
    shops: int


class Reminder(rf.Record):
    """So many visits of a session came since the last reminder."""

    session: str
    visits: int


class Sessions(rf.ProcessFunction[str, Visit, Echo]):
    """Numbers each session's visits; closes the session once, by event time."""

    count = rf.value(0, ttl=timedelta(milliseconds=TTL))
    shops: rf.MapState[str, int] = rf.map(ttl=timedelta(milliseconds=TTL))
    open = rf.value(0)

    def process(self, visit: Visit, ctx: rf.Context) -> Iterable[Echo]:
        n = self.count.get() + 1
        self.count.set(n)
        self.open.set(n)
        self.shops.set(visit.shop, n)
        if n == 1:
            ctx.timer_at(visit.ts + CLOSES)
        yield Echo(visit.session, n, visit.id, len(list(self.shops.keys())))

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Echo]:
        n = self.open.get()
        self.open.clear()
        yield Echo(ctx.key, n, CLOSED, 0)


class Reminders(rf.ProcessFunction[str, Visit, Reminder]):
    """Says now and then, by the wall clock, how many visits came; each visit is in one reminder."""

    waiting = rf.value(0)

    def process(self, visit: Visit, ctx: rf.Context) -> Iterable[Reminder]:
        waiting = self.waiting.get()
        if waiting == 0:
            ctx.timer_in(timedelta(milliseconds=REMIND), clock="processing")
        self.waiting.set(waiting + 1)
        return ()

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Reminder]:
        visits = self.waiting.get()
        self.waiting.clear()
        yield Reminder(ctx.key, visits)


SOURCE = "visits"
SINKS = ("echoes", "reminders", "windows", "late", "shop-windows", "totals", "counts")


def job_of(sessions: type[Sessions]) -> rf.Job:
    """The job, with this class for the sessions."""
    job = rf.Job("soak")
    visits = job.stream(
        SOURCE, key=str, value=Visit, timestamp=lambda visit: visit.ts, watermark=rf.bounded(milliseconds=OUT_OF_ORDER)
    )
    by_session = visits.key_by(lambda visit: visit.session, name="by-session")
    by_session.process(sessions, name="sessions").to("echoes")
    by_session.process(Reminders, name="reminders").to("reminders")
    by_session.window(rf.tumbling(milliseconds=WINDOW), grace=timedelta(milliseconds=GRACE)).late_to("late").aggregate(
        count=rf.count(), total=rf.sum(lambda visit: visit.amount), name="windows"
    ).to("windows")
    by_shop = visits.key_by(lambda visit: visit.shop, name="by-shop")
    by_shop.window(rf.hopping(milliseconds=HOP, every=timedelta(milliseconds=EVERY))).aggregate(
        count=rf.count(), total=rf.sum(lambda visit: visit.amount), name="shop-windows"
    ).to("shop-windows")
    by_shop.aggregate(count=rf.count(), total=rf.sum(lambda visit: visit.amount), emit="record", name="totals").to(
        "totals"
    )
    by_shop.count(name="counts").to("counts")
    return job


job = job_of(Sessions)
