"""A bounded run stops at the ends that its topics had when it began."""

from __future__ import annotations

from pathlib import Path

import pytest

import rayflow as rf
from rayflow.engine.events import PartitionsAdded
from rayflow.runtimes.local import observer
from rayflow.runtimes.local.attempt import Attempt
from tests.e2e.brokers import Broker
from tests.e2e.running import run


def answering(broker: Broker, most: int) -> rf.Job:
    """Whoever reads a record finds another one behind it, up to `most`."""
    written = 3
    broker.create("in")
    broker.append("in", [(None, str(n)) for n in range(written)])

    def answer(value: str) -> str:
        nonlocal written
        if written < most:
            broker.append("in", [(None, str(written))])
            written += 1
        return value

    job = rf.Job(broker.name("answering"))
    job.stream(broker.name("in"), value=str).map(answer).to(broker.name("out"))
    return job


@pytest.fixture(autouse=True)
def looks_at_the_lag_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(observer, "ENDS_EVERY", 0.0)


def test_records_that_come_meanwhile_do_not_keep_it_running(broker: Broker, state: Path) -> None:
    progress = run(answering(broker, most=60), broker, state, max_poll_records=1)
    assert 3 <= progress.records_in < 60


def test_an_attempt_that_begins_anew_stops_at_the_same_ends(
    embedded: Broker, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = answering(embedded, most=3)
    step = Attempt.step
    attempts: list[Attempt] = []

    def first_step(attempt: Attempt) -> None:
        if attempt.worker is not None and attempt not in attempts:
            attempts.append(attempt)
            if len(attempts) == 1:
                embedded.append("in", [(None, "more")] * 60)
                attempt.tell(PartitionsAdded())
        step(attempt)

    monkeypatch.setattr(Attempt, "step", first_step)
    progress = run(job, embedded, state, max_poll_records=1)
    assert len(attempts) == 2
    assert 3 <= progress.records_in < 60
