"""A bounded run stops at the ends that its topics had when it began."""

from __future__ import annotations

from pathlib import Path

import pytest

import rayflow as rf
from rayflow.core.ids import TaskId
from rayflow.core.topics import ConnectorSpec
from rayflow.engine.events import PartitionsAdded
from rayflow.plan.compile import plan_of
from rayflow.runtimes.connectors import Connectors
from rayflow.runtimes.local import observer
from rayflow.runtimes.local.attempt import Attempt
from rayflow.runtimes.local.sources import Sources
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


def test_a_worker_that_is_given_other_partitions_reads_those_to_their_ends(embedded: Broker) -> None:
    """The ends are kept from one attempt to the next; those of partitions that are read elsewhere now do not matter."""
    topic = embedded.create("in", 2)
    for key in map(str, range(20)):
        embedded.append("in", [(key, "value")])
    job = rf.Job(embedded.name("moving"))
    job.stream(topic, value=str).to(embedded.name("out"))
    plan = plan_of(job)
    stage = plan.stages[0].id
    connectors = Connectors(ConnectorSpec(embedded.url))
    stop_at: dict[tuple[str, int], int] = {}
    read: list[int] = []
    for partition in range(2):
        sources = Sources(plan, connectors, stop_at)
        sources.place(sources.partitions())
        sources.start({}, {TaskId(stage, partition)})
        sources.fix_ends(timeout=5.0)
        assert not sources.exhausted
        events = sources.poll(100, 5.0)
        assert sources.exhausted
        read.append(sum(len(event.batch) for event in events))
        sources.close()
    assert min(read) > 0
    connectors.close()
