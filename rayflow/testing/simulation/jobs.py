"""Jobs of many shapes, and their input; drawn from the seed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any, Literal

import rayflow as rf
from rayflow.testing.simulation.schedule import START

TOPIC = "input"
OTHER = "other"
"""A second topic, which some jobs also read. A topic's name is also its source's id."""
BRANCHES = ("pass", "totals", "windows", "process", "table", "hops", "updates", "states", "split")
"""The operations of a job on its records. Each has its own sink, whose topic has its name."""
REPEATABLE = ("pass", "totals", "windows", "table", "split")
"""Those whose output can be checked even if parts of it are repeated (at least once)."""
LATE = {"windows": "late-windows", "updates": "late-updates", "hops": "late-hops"}
"""The topic for records that are too late for a branch's windows."""
MOST_PARTITIONS = 8
KEYS = ("user", "item", "group", "user")
"""The field by which the last stage is keyed, by number of stages."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One job.

    Attributes:
        partitions: of the input, at first.
        stages: 1 keeps the topic's keys; each further one adds an exchange.
        branches: of BRANCHES.
        filtered: whether odd records are dropped first.
        disorder: how far a record may be behind, ms.
        window: size, ms.
        timer: the delay of a record's timer, ms.
        interval: of checkpoints, ms.
        merged: whether every third record bypasses the second stage, and is merged after it.
        grace: of windows, ms.
        ttl: of states that have one, ms.
        idle: `idle_after`, ms; 0: partitions always hold event time back.
        grows: whether the input may get more partitions.
        delivery: as in rf.Job.
        other: partitions of a second topic, whose records are merged in; 0: there is none.
        beside: whether it is merged after the first exchange, so that a stage has a source and a channel.
        lag: how far the second topic's event time is behind the first one's, ms.
        stragglers: whether a few records are so far behind that they are late for some or all of their windows.
    """

    partitions: int
    stages: int
    branches: tuple[str, ...]
    filtered: bool
    disorder: int
    window: int
    timer: int
    interval: int
    merged: bool = False
    grace: int = 0
    ttl: int = 500
    idle: int = 0
    grows: bool = False
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    other: int = 0
    beside: bool = False
    lag: int = 0
    stragglers: bool = False

    @property
    def has_late(self) -> bool:
        """Whether records can be late: stragglers, records of a partition that was idle, or that was not read
        before."""
        return self.idle > 0 or self.grows or self.stragglers

    @property
    def every(self) -> int:
        """The hop of hopping windows, ms."""
        return self.window // 4

    def topics_of(self, branch: str) -> tuple[str, ...]:
        """The topics whose records reach a branch; of "": all."""
        if not self.other or (self.beside and branch in ("pass", "split")):
            return (TOPIC,)
        return (TOPIC, OTHER)

    def grace_of(self, branch: str) -> int:
        """The grace period of a branch's windows, ms."""
        return 0 if branch == "updates" else self.grace

    def every_of(self, branch: str) -> int:
        """The interval between the starts of a branch's windows, ms."""
        return self.every if branch == "hops" else self.window

    @classmethod
    def draw(cls, random: Random) -> Shape:
        """Draw a shape with one to three branches."""
        stages = random.choice((1, 1, 2, 2, 3, 4))
        once = random.random() < 0.85
        branches = random.sample(BRANCHES if once else REPEATABLE, random.randrange(1, 4))
        drawn = cls(
            partitions=random.choice((1, 1, 2, 2, 3, 4, MOST_PARTITIONS)),
            stages=stages,
            branches=tuple(sorted(branches)),
            merged=stages > 2 and random.random() < 0.4,
            grace=random.choice((0, 0, 70)),
            ttl=random.choice((50, 500, 5000)),
            idle=random.choice((0, 300)) if once else 0,
            grows=once and random.random() < 0.4 and (stages > 1 or branches == ["pass"]),
            delivery="exactly_once" if once else "at_least_once",
            filtered=random.random() < 0.5,
            disorder=random.choice((1, 50, 400)),
            window=random.choice((200, 1000)),
            timer=random.choice((1, 300, 3000)),
            interval=random.choice((100, 200, 500)),
        )
        return drawn._with_more(Random(repr(random.getstate()[1][:8])))

    def _with_more(self, random: Random) -> Shape:
        """The shape with or without a second topic and stragglers. They use a separate random generator, so that the
        other values of a seed do not depend on them."""
        shape = replace(self, stragglers=self.delivery == "exactly_once" and random.random() < 0.25)
        if random.random() < 0.7:
            return shape
        other = self.partitions if self.stages == 1 else random.choice((1, 2, 3))
        beside = self.stages > 2 and random.random() < 0.5
        return replace(shape, other=other, beside=beside, lag=random.choice((0, 100, 900)))


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One record of the input: `user` is its key in the topic, `item` and `group` are keys of the exchanges."""

    id: int
    user: str
    item: str
    group: str
    n: int
    ts: int

    def encoded(self) -> bytes:
        """Its value in the topic."""
        columns = (self.id, self.user, self.item, self.group, self.n, self.ts)
        return json.dumps(dict(zip(("id", "user", "item", "group", "n", "ts"), columns, strict=True))).encode()


def draw_record(random: Random, shape: Shape, id: int, newest: int) -> InputRecord:
    """A record that is behind the newest event time by less than the shape's disorder, unless it is a straggler."""
    newest -= random.randrange(2 * shape.window) if shape.stragglers and random.random() < 0.05 else 0
    return InputRecord(
        id,
        f"user{random.randrange(8)}",
        f"item{random.randrange(6)}",
        f"group{random.randrange(3)}",
        random.randrange(1, 100),
        newest - random.randrange(shape.disorder),
    )


class Follow(rf.ProcessFunction[str, Any, Any]):
    """Counts records of a key, and sets a timer for each. Its output shows which of the two it is."""

    count = rf.value(0)
    delay = 1

    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        self.count.set(self.count.get() + 1)
        ctx.timer_at(ctx.timestamp + self.delay)
        yield {"key": ctx.key, "seq": self.count.get(), "id": value["id"]}

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Any]:
        yield {"key": ctx.key, "at": at}


def keeper(ttl: int) -> type[rf.ProcessFunction[str, Any, Any]]:
    """A function with every kind of state, all with a TTL (ms), and a wall-clock timer for each record."""
    lifetime = timedelta(milliseconds=ttl)

    class Keeper(rf.ProcessFunction[str, Any, Any]):
        count = rf.value(0, ttl=lifetime)
        ids: rf.ListState[int] = rf.list(ttl=lifetime)
        fifths: rf.MapState[int, int] = rf.map(ttl=lifetime)

        def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
            self.count.set(self.count.get() + 1)
            self.ids.append(value["id"])
            self.fifths.set(value["id"] % 5, value["id"])
            ctx.timer_at(alarm(value["id"]), clock="processing")
            yield {
                "id": value["id"],
                "at": ctx.timestamp,
                "watermark": ctx.watermark,
                "count": self.count.get(),
                "ids": self.ids.get(),
                "fifths": list(self.fifths.items()),
            }

        def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Any]:
            yield {"alarm": at}

    return Keeper


def alarm(id: int) -> int:
    """The time (wall clock, ms) of a record's timer; some are in the past when they are set."""
    return START // 1000 + id * 15


@dataclass(frozen=True, slots=True)
class Mark:
    """Adds the way of a record to it."""

    way: str

    def __call__(self, value: Any) -> Any:
        return {"id": value["id"], "way": self.way}


def way_of(id: int) -> str:
    """The way of a record through the split."""
    return "even" if id % 2 == 0 else "third" if id % 3 == 0 else "rest"


class Relay(rf.ProcessFunction[str, Any, Any]):
    """Counts records of a key and passes them on: an intermediate stage with its own state."""

    passed = rf.value(0)

    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        self.passed.set(self.passed.get() + 1)
        yield value


def make_job(shape: Shape) -> rf.Job:
    """The job of a shape."""
    job = rf.Job("simulated", checkpoint_interval=timedelta(milliseconds=shape.interval), delivery=shape.delivery)
    stream = _source(shape, job, TOPIC)
    other = _source(shape, job, OTHER) if shape.other else None
    if other is not None and not shape.beside:
        stream, other = stream.merge(other, name="both"), None
    if shape.filtered:
        stream = stream.filter(lambda v: v["n"] % 2 == 0, name="even")
        other = other and other.filter(lambda v: v["n"] % 2 == 0, name="even-other")
    if "pass" in shape.branches:
        stream.map(lambda v: {"id": v["id"], "user": v["user"]}, name="pick").to("pass", name="to-pass")
    if "split" in shape.branches:
        parts = stream.split(even=lambda v: v["id"] % 2 == 0, third=lambda v: v["id"] % 3 == 0, name="split")
        marked = [
            part.map(Mark(name), name=f"mark-{name}")
            for name, part in [*((name, parts[name]) for name in parts), ("rest", parts.rest)]
        ]
        marked[0].merge(*marked[1:], name="merge").to("split", name="to-split")
    keyed = _keyed(shape, stream, other)
    aggregates: Any = {"count": rf.count(), "total": rf.sum(lambda v: v["n"])}
    size = timedelta(milliseconds=shape.window)
    if "totals" in shape.branches:
        keyed.aggregate(emit="record", name="totals", **aggregates).to("totals", key=str, name="to-totals")
    if "table" in shape.branches:
        keyed.aggregate(name="table", **aggregates).to("table", key=str, name="to-table")
    if "windows" in shape.branches:
        windows = keyed.window(rf.tumbling(size), grace=timedelta(milliseconds=shape.grace)).late_to(LATE["windows"])
        windows.aggregate(name="windows", **aggregates).to("windows", key=str, name="to-windows")
    if "hops" in shape.branches:
        every = timedelta(milliseconds=shape.every)
        hops = keyed.window(rf.hopping(size, every=every), grace=timedelta(milliseconds=shape.grace))
        hops.late_to(LATE["hops"]).aggregate(name="hops", **aggregates).to("hops", key=str, name="to-hops")
    if "updates" in shape.branches:
        windows = keyed.window(rf.tumbling(size)).late_to(LATE["updates"])
        windows.aggregate(name="updates", emit="updates", **aggregates).to("updates", key=str, name="to-updates")
    if "process" in shape.branches:
        follow = type("Follow", (Follow,), {"delay": shape.timer, "__module__": __name__})
        keyed.process(follow, name="process").to("process", key=str, name="to-process")
    if "states" in shape.branches:
        keyed.process(keeper(shape.ttl), name="states").to("states", key=str, name="to-states")
    return job


def _source(shape: Shape, job: rf.Job, topic: str) -> Any:
    return job.stream(
        topic,
        key=str,
        timestamp=lambda v: v["ts"],
        watermark=rf.bounded(milliseconds=shape.disorder),
        idle_after=timedelta(milliseconds=shape.idle) if shape.idle else None,
        name=topic,
    )


def _keyed(shape: Shape, stream: Any, other: Any) -> Any:
    if shape.stages == 1:
        return stream.group_by_key(name="grouped")
    keyed = stream
    if shape.stages > 2:
        through = stream.filter(lambda v: v["id"] % 3, name="through") if shape.merged else stream
        keyed = through.key_by(lambda v: v["item"], name="by-item").process(Relay, name="relay")
        if shape.merged:
            around = stream.filter(lambda v: v["id"] % 3 == 0, name="around")
            keyed = keyed.merge(around.key_by(lambda v: v["item"], name="by-item-around"), name="together")
        if other is not None:
            keyed = keyed.merge(other, name="beside")
    if shape.stages > 3:
        keyed = keyed.key_by(lambda v: v["group"], name="by-group").process(Relay, name="relay-again")
    last = KEYS[shape.stages - 1]
    return keyed.key_by(lambda v: v[last], name=f"by-{last}")
