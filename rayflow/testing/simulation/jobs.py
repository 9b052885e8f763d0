"""Jobs of many shapes, and what is fed to them; drawn from the seed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import rayflow as rf

TOPIC = "input"
BRANCHES = ("pass", "totals", "windows", "process", "table")
"""What a job can do with its records; each has a sink of its own, whose topic is its name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One job.

    Attributes:
        partitions: of the input. stages: 1 keeps the topic's keys, 2 has one exchange, 3 two.
        branches: of BRANCHES. filtered: whether odd records are left out before anything else.
        disorder: how far a record may be behind, ms. window: size, ms. timer: how long after a record its timer is, ms.
        interval: of checkpoints, ms.
    """

    partitions: int
    stages: int
    branches: tuple[str, ...]
    filtered: bool
    disorder: int
    window: int
    timer: int
    interval: int

    @classmethod
    def draw(cls, random: Random) -> Shape:
        """A shape with one to three branches."""
        return cls(
            partitions=random.randrange(1, 5),
            stages=random.randrange(1, 4),
            branches=tuple(sorted(random.sample(BRANCHES, random.randrange(1, 4)))),
            filtered=random.random() < 0.5,
            disorder=random.choice((1, 50, 400)),
            window=random.choice((200, 1000)),
            timer=random.choice((1, 300, 3000)),
            interval=random.choice((100, 200, 500)),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the input: `user` is its key in the topic, `item` and `group` those of the exchanges."""

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


def draw_record(random: Random, shape: Shape, id: int, newest: int) -> Record:
    """A record that is behind the newest event time by less than the shape's disorder."""
    return Record(
        id,
        f"user{random.randrange(8)}",
        f"item{random.randrange(6)}",
        f"group{random.randrange(3)}",
        random.randrange(1, 100),
        newest - random.randrange(shape.disorder),
    )


class Follow(rf.ProcessFunction[str, Any, Any]):
    """Counts records of a key, and sets a timer for each: what it emits says which is which."""

    count = rf.value(0)
    delay = 1

    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        self.count.set(self.count.get() + 1)
        ctx.timer_at(ctx.timestamp + self.delay)
        yield {"key": ctx.key, "seq": self.count.get(), "id": value["id"]}

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Any]:
        yield {"key": ctx.key, "at": at}


class Relay(rf.ProcessFunction[str, Any, Any]):
    """Counts records of a key and passes them on: a stage in between, with state of its own."""

    passed = rf.value(0)

    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        self.passed.set(self.passed.get() + 1)
        yield value


def make_job(shape: Shape) -> rf.Job:
    """The job of a shape."""
    job = rf.Job("simulated", checkpoint_interval=timedelta(milliseconds=shape.interval))
    stream: Any = job.stream(
        TOPIC,
        key=str,
        timestamp=lambda v: v["ts"],
        watermark=rf.bounded(milliseconds=shape.disorder),
        name="input",
    )
    if shape.filtered:
        stream = stream.filter(lambda v: v["n"] % 2 == 0, name="even")
    if "pass" in shape.branches:
        stream.map(lambda v: {"id": v["id"], "user": v["user"]}, name="pick").to("pass", name="to-pass")
    if shape.stages == 1:
        keyed = stream.group_by_key(name="grouped")
    else:
        keyed = stream.key_by(lambda v: v["item"], name="by-item")
    if shape.stages == 3:
        keyed = keyed.process(Relay, name="relay").key_by(lambda v: v["group"], name="by-group")
    aggregates: Any = {"count": rf.count(), "total": rf.sum(lambda v: v["n"])}
    if "totals" in shape.branches:
        keyed.aggregate(emit="record", name="totals", **aggregates).to("totals", key=str, name="to-totals")
    if "table" in shape.branches:
        keyed.aggregate(name="table", **aggregates).to("table", key=str, name="to-table")
    if "windows" in shape.branches:
        windows = keyed.window(rf.tumbling(timedelta(milliseconds=shape.window)))
        windows.aggregate(name="windows", **aggregates).to("windows", key=str, name="to-windows")
    if "process" in shape.branches:
        follow = type("Follow", (Follow,), {"delay": shape.timer, "__module__": __name__})
        keyed.process(follow, name="process").to("process", key=str, name="to-process")
    return job
