"""A bounded run stops at the ends that its topics had when it began."""

from __future__ import annotations

from pathlib import Path

import pytest

import rayflow as rf
from rayflow.checkpoint.open import open_store
from rayflow.core.ids import TaskId
from rayflow.core.topics import ConnectorSpec
from rayflow.engine.events import PartitionsAdded
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.sources import Sources
from rayflow.runtimes.local import observer
from rayflow.runtimes.local.attempt import LocalAttempt
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.ports import machine_ports
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts
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
    step = LocalAttempt.step
    attempts: list[LocalAttempt] = []

    def first_step(attempt: LocalAttempt) -> None:
        if attempt.worker is not None and attempt not in attempts:
            attempts.append(attempt)
            if len(attempts) == 1:
                embedded.append("in", [(None, "more")] * 60)
                attempt.coordinator.tell(PartitionsAdded())
        step(attempt)

    monkeypatch.setattr(LocalAttempt, "step", first_step)
    progress = run(job, embedded, state, max_poll_records=1)
    assert len(attempts) == 2
    assert 3 <= progress.records_in < 60


def test_a_worker_stops_at_the_known_ends_of_what_it_reads_and_waits_for_no_other(
    embedded: Broker, tmp_path: Path
) -> None:
    embedded.create("in", 2)
    plan = plan_of(counts(embedded))
    connectors = OpenConnectors(ConnectorSpec(embedded.url))
    ports = machine_ports(open_store(f"file:{tmp_path}"), connectors)
    (source,) = (source.id for stage in plan.stages for source in stage.sources)
    embedded.append("in", [(None, "x")])  # to partition 0
    sources = Sources(plan, ports)
    sources.place({source: 2})
    sources.start({}, {TaskId(plan.stages[0].id, 0)}, sources.systems())
    known = {(source, 0): 1, (source, 1): 5}
    assert sources.fix_ends({}, timeout=10) == {(source, 0): 1}
    embedded.append("in", [(None, "y")])
    assert sources.fix_ends(known, timeout=10) == {(source, 0): 1}
    assert not sources.exhausted
    assert sources.poll(10, 5.0)
    assert sources.exhausted
    sources.close()
    connectors.close()
