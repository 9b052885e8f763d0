"""Bounded runs that leave open what is open: several of them equal one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import rayflow as rf
from tests.e2e.brokers import Broker
from tests.e2e.running import run

PARTITIONS = 2


class Visit(rf.Record):
    user: str
    ts: int


class Quiet(rf.ProcessFunction[str, Visit, list[object]]):
    """Tells how many visits a user has made when none has come for five seconds; forgets them after twenty."""

    visits = rf.value(0, ttl=timedelta(seconds=20))
    last = rf.value(0)

    def process(self, visit: Visit, ctx: rf.Context) -> Iterator[list[object]]:
        self.visits.set(self.visits.get() + 1)
        self.last.set(visit.ts)
        ctx.timer_in(timedelta(seconds=5))
        yield from ()

    def on_timer(self, at: int, ctx: rf.Context) -> Iterator[list[object]]:
        if self.last.get() + 5_000 == at:
            yield [ctx.key, at, self.visits.get()]


def visits_job(broker: Broker, name: str) -> rf.Job:
    """Visits per user and ten seconds, and those of users who have become quiet, to topics of its own."""
    job = rf.Job(broker.name(name))
    visits = job.stream(broker.name("in"), key=str, value=Visit, timestamp=lambda visit: visit.ts)
    windows = visits.key_by(lambda visit: visit.user).window(rf.tumbling(seconds=10)).count()
    windows.to(broker.name(f"{name}-windows"))
    visits.group_by_key().process(Quiet).to(broker.name(f"{name}-quiet"))
    return job


def write(broker: Broker, visits: list[Visit]) -> None:
    broker.append("in", [(visit.user, json.dumps({"user": visit.user, "ts": visit.ts})) for visit in visits])


def results(broker: Broker, name: str) -> list[tuple[object, ...]]:
    topics = [f"{name}-windows", f"{name}-quiet"]
    return sorted(
        (topic.removeprefix(name), str(record.key), record.timestamp, str(record.json))
        for topic in topics
        for record in broker.read(topic)
    )


@pytest.mark.parametrize("runs", [2, 5])
def test_several_runs_that_keep_windows_open_give_what_one_run_gives(broker: Broker, state: Path, runs: int) -> None:
    """One record a poll: between the records of one poll, timers do not fire."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    broker.create("in", 2)
    ts = 0
    for number in range(runs):
        visits = []
        for _ in range(40):
            ts += chance.choice([100, 700, 2_000, 9_000])
            visits.append(Visit(chance.choice("abcd"), ts))
        write(broker, visits)
        last = number == runs - 1
        status = run(visits_job(broker, "parts"), broker, state, keep_open=not last, max_poll_records=1)
        assert (status.state, status.records_in) == ("done", 40)
    status = run(visits_job(broker, "whole"), broker, state, max_poll_records=1)
    assert status.records_in == 40 * runs
    assert results(broker, "parts") == results(broker, "whole")


def test_a_run_that_keeps_windows_open_publishes_no_result_of_theirs(broker: Broker, state: Path) -> None:
    broker.create("in", 1)
    write(broker, [Visit("a", 1_000), Visit("a", 12_000)])
    assert run(visits_job(broker, "open"), broker, state, keep_open=True).state == "done"
    assert [record.timestamp for record in broker.read("open-windows")] == [9_999]
    assert run(visits_job(broker, "open"), broker, state).state == "done"
    assert [record.timestamp for record in broker.read("open-windows")] == [9_999, 19_999]
