"""A wall clock that jumps back and forth: checkpoints go on, and no timer fires twice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import rayflow as rf
from rayflow.core.clock import system_clock
from tests.e2e.brokers import Broker
from tests.e2e.running import Running

HOUR = 3_600_000


class Reminder(rf.ProcessFunction[str, str, str]):
    """Says a word again ten minutes of wall clock later."""

    def process(self, word: str, ctx: rf.Context) -> list[str]:
        ctx.timer_in(timedelta(minutes=10), clock="processing")
        return [f"{word} came"]

    def on_timer(self, at: int, ctx: rf.Context) -> list[str]:
        return [f"{ctx.key} again"]


class Jumping:
    """The machine's clock, moved by `jump` ms."""

    def __init__(self) -> None:
        self.jump = 0

    def __call__(self) -> int:
        return system_clock() + self.jump


def test_checkpoints_go_on_and_timers_fire_once_when_the_clock_jumps(broker: Broker, state: Path) -> None:
    clock = Jumping()
    job = rf.Job(broker.name("reminder"))
    words = job.stream(broker.name("in"), key=str, value=str)
    words.key_by(lambda word: word).process(Reminder).to(broker.name("out"))
    broker.create("in")
    if broker.is_kafka:  # by default it refuses records that lie more than an hour ahead of its own clock
        broker.kafka.create(broker.name("out"), message_timestamp_after_max_ms=str(48 * HOUR))
    else:
        broker.create("out")
    expected: list[str] = []
    with Running(job, broker, state, clock=clock) as running:
        for number, jump in enumerate([0, HOUR, -HOUR, 5 * HOUR, 0, -24 * HOUR, 0]):
            clock.jump = jump
            word = f"w{number}"
            broker.append("in", [(word, word)])
            expected.append(f"{word} came")
            # Its own record is published: the checkpoints go on at this time of day as well.
            running.until(lambda _: expected[-1] in broker.values("out"))
        clock.jump = 24 * HOUR
        expected += [f"w{number} again" for number in range(7)]
        running.until(lambda _: len(broker.values("out")) >= len(expected))
        epoch = running.progress.epoch
        clock.jump = 0
        broker.append("in", [("last", "last")])
        expected.append("last came")
        running.until(lambda progress: progress.epoch > epoch)
        running.until(lambda _: len(broker.values("out")) >= len(expected))
    assert sorted(broker.values("out")) == sorted(expected)


def test_a_timer_that_fired_under_a_fast_clock_does_not_fire_again_after_a_restart(
    embedded: Broker, state: Path
) -> None:
    clock = Jumping()
    job = rf.Job(embedded.name("reminder"))
    words = job.stream(embedded.name("in"), key=str, value=str)
    words.key_by(lambda word: word).process(Reminder).to(embedded.name("out"))
    embedded.create("in")
    embedded.create("out")
    embedded.append("in", [("w", "w")])
    with Running(job, embedded, state, clock=clock) as running:
        running.until(lambda progress: progress.records_in == 1)
        clock.jump = HOUR
        running.until(lambda _: "w again" in embedded.values("out"))
    clock.jump = 0
    with Running(job, embedded, state, clock=clock) as running:
        embedded.append("in", [("v", "v")])
        running.until(lambda _: "v came" in embedded.values("out"))
        clock.jump = HOUR
        running.until(lambda _: "v again" in embedded.values("out"))
    assert embedded.values("out") == ["w came", "w again", "v came", "v again"]
