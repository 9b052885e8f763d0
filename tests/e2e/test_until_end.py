"""A bounded run stops at the ends that its topics had when it began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.checkpoint.open import open_store
from rayflow.core.ids import TaskId
from rayflow.core.topics import ConnectorSpec
from rayflow.engine.events import PartitionsAdded
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.sources import Sources
from rayflow.runtimes.local import observer
from rayflow.runtimes.local.attempt import LocalAttempt
from rayflow.runtimes.local.runtime import LocalRuntime
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


@pytest.mark.parametrize("at_once", [1, 1000])
def test_it_reads_exactly_the_records_before_the_ends(broker: Broker, state: Path, at_once: int) -> None:
    progress = run(answering(broker, most=60), broker, state, max_poll_records=at_once)
    assert progress.records_in == 3
    assert len(broker.values("out")) == 3


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
    assert progress.records_in == 3


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


@pytest.fixture
def one_partition(broker: Broker, tmp_path: Path) -> Iterator[Sources]:
    """The sources of a worker that reads one partition, with five records in it; the ends are fixed at three."""
    broker.create("in")
    plan = plan_of(counts(broker))
    connectors = OpenConnectors(ConnectorSpec(broker.url))
    ports = machine_ports(open_store(f"file:{tmp_path}"), connectors)
    (source,) = (source.id for stage in plan.stages for source in stage.sources)
    broker.append("in", [(None, str(n)) for n in range(3)])
    sources = Sources(plan, ports)
    sources.place({source: 1})
    sources.start({}, {TaskId(plan.stages[0].id, 0)}, sources.systems())
    ends = sources.fix_ends({}, timeout=30)
    broker.append("in", [(None, "later")] * 2)
    yield sources
    assert sources.positions == ends
    assert sources.exhausted
    sources.close()
    connectors.close()


def test_a_poll_that_reaches_past_the_end_is_cut_there(one_partition: Sources) -> None:
    values: list[object] = []
    while not one_partition.exhausted:
        values += [value for event in one_partition.poll(10, 5.0) for value in event.batch.values]
    assert values == [b"0", b"1", b"2"]
    one_partition.poll(10, 0.5)


def test_what_comes_after_the_end_is_not_delivered(one_partition: Sources) -> None:
    while not one_partition.exhausted:
        one_partition.poll(1, 5.0)
    assert one_partition.poll(10, 0.5) == []


def test_what_comes_after_the_end_is_no_lag_and_does_not_keep_the_partition_from_being_idle(
    one_partition: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    while not one_partition.exhausted:
        one_partition.poll(10, 5.0)
    one_partition.refresh_ends()
    monkeypatch.setattr(one_partition._listening, "wanted", True)
    assert one_partition.lag == 0
    assert [lag for _, _, lag in one_partition.lags()] == [0]
    assert one_partition.listened is not None
    assert not one_partition.listened.undelivered


def test_a_later_run_goes_on_after_a_files_last_record_that_grew_before_it_was_read(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, fix_ends = tmp_path / "in.csv", Sources.fix_ends
    file.write_text("n\n1\n17")  # whoever writes it has flushed the first half of 1700

    def then_grow(sources: Sources, known: Mapping[tuple[str, int], int], timeout: float) -> dict[tuple[str, int], int]:
        ends = fix_ends(sources, known, timeout)
        if file.read_text().endswith("17"):
            with file.open("a") as growing:
                growing.write("00\n2\n")
        return ends

    monkeypatch.setattr(Sources, "fix_ends", then_grow)
    job = rf.Job("grows")
    job.stream(rf.csv(file)).to(rf.jsonl(tmp_path / "out"))
    for read in (2, 1):
        options = RunOptions(state=state, until_end=True)
        assert LocalRuntime(plan_of(job), options).run().records_in == read
    lines = [line for part in sorted((tmp_path / "out").glob("*.jsonl")) for line in part.read_text().splitlines()]
    assert lines == ['{"n":"1"}', '{"n":"1700"}', '{"n":"2"}']
