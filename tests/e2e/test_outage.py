"""The broker goes away while a job runs, and comes back: the job waits, says so, and goes on by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rayflow.connectors.steps import COMMITTING
from rayflow.runtimes.hosting.steps import publish
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts
from tests.e2e.running import Running, run
from tests.kafka.broker import Broker as KafkaBroker

OUTAGE = 30.0
"""s."""


@pytest.fixture
def broker(own_kafka: KafkaBroker) -> Iterator[Broker]:
    """A Kafka that the test may break; a test that failed may have left it broken."""
    if not own_kafka.answers():
        own_kafka.kill()
        own_kafka.start()
    broker = Broker(own_kafka.url)
    broker.create("in", 3)
    yield broker
    broker.close()


def feed(broker: Broker, records: range) -> None:
    broker.append("in", [(f"k{n % 7}", f"w{n % 5}") for n in records])


def expected(records: int) -> dict[str, list[int]]:
    return {f"w{n}": list(range(1, records // 5 + 1)) for n in range(5)}


def lines(caplog: pytest.LogCaptureFixture, start: str) -> int:
    """How many lines of the runtime's log begin so."""
    return sum(record.name == "rayflow.local" and record.getMessage().startswith(start) for record in caplog.records)


def at_the_second_commit(act: Callable[[], None]) -> Callable[[str], None]:
    """An `on_step` that acts when the transaction of the second epoch is about to be committed."""
    commits = 0

    def on_step(name: str) -> None:
        nonlocal commits
        if name == publish(COMMITTING):
            commits += 1
            if commits == 2:
                act()

    return on_step


@pytest.mark.slow
def test_a_job_waits_for_a_broker_that_is_away_for_half_a_minute(
    broker: Broker, own_kafka: KafkaBroker, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    feed(broker, range(1_000))
    on_step = at_the_second_commit(own_kafka.kill)
    with (
        caplog.at_level(logging.INFO),
        Running(counts(broker), broker, state, on_step=on_step, max_poll_records=20) as running,
    ):
        waiting = running.until(lambda progress: progress.state == "waiting")
        away = time.monotonic()
        assert waiting.cause
        assert lines(caplog, "waiting for the broker") == 1
        running.until(lambda _: time.monotonic() - away >= OUTAGE, OUTAGE + 10)
        assert running.progress.state == "waiting"
        own_kafka.start()
        running.until(lambda progress: progress.state == "running" and progress.records_in == 1_000)
        feed(broker, range(1_000, 2_000))
        running.until(lambda progress: progress.records_in == 2_000)
    assert running.states.count("waiting") == 1
    assert lines(caplog, "waiting for the broker") == 1
    assert lines(caplog, "the broker answers again") == 1
    assert broker.by_key("out") == expected(2_000)


def test_a_broker_that_hangs_in_the_middle_of_a_commit_costs_nothing(
    broker: Broker, own_kafka: KafkaBroker, state: Path
) -> None:
    feed(broker, range(1_000))
    on_step = at_the_second_commit(own_kafka.freeze)
    with Running(counts(broker), broker, state, on_step=on_step, max_poll_records=20) as running:
        running.until(lambda progress: progress.state == "waiting")
        own_kafka.thaw()
        running.until(lambda progress: progress.state == "running" and progress.records_in == 1_000)
    assert broker.by_key("out") == expected(1_000)


def test_a_job_can_be_asked_to_stop_during_an_outage(broker: Broker, own_kafka: KafkaBroker, state: Path) -> None:
    feed(broker, range(500))
    running = Running(
        counts(broker), broker, state, on_step=at_the_second_commit(own_kafka.freeze), max_poll_records=20
    )
    running.until(lambda progress: progress.state == "waiting")
    running.runtime.stop()
    own_kafka.thaw()
    running.finish()
    feed(broker, range(500, 1_000))
    run(counts(broker), broker, state)
    assert broker.by_key("out") == expected(1_000)
