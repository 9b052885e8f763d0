"""Topics that gain partitions, while the job is down and while it is up. The embedded log's topics never do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rayflow.core.errors import PartitionsChanged
from rayflow.runtimes.hosting import partition_watch
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts, own_counts, upper
from tests.e2e.running import Crash, Running, crash_at, run
from tests.kafka.client import Kafka, until

WORDS = [(f"key-{n}", "x" if n % 2 else "y") for n in range(12)]
"""Keys that lie in all partitions, however many there are."""


@pytest.fixture
def grown(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """A topic of one partition, and a runtime that looks often whether there are more."""
    monkeypatch.setattr(partition_watch, "EVERY", 0.1)
    broker = Broker(kafka.url)
    broker.create("in")
    broker.append("in", WORDS)
    yield broker
    broker.close()


def grow(broker: Broker, partitions: int) -> None:
    """Have so many partitions, and write to all of them."""
    broker.kafka.grow(broker.name("in"), partitions)
    until(lambda: broker.connector.partitions(broker.name("in")) == partitions)
    broker.append("in", WORDS)
    assert all(broker.kafka.ends(broker.name("in")))


def test_a_stateless_job_takes_up_partitions_that_came_while_it_was_down(grown: Broker, state: Path) -> None:
    run(upper(grown), grown, state)
    grow(grown, 4)
    run(upper(grown), grown, state)
    assert sorted(grown.values("out")) == ["X"] * 12 + ["Y"] * 12


@pytest.mark.parametrize("step", ["before InjectBarrier", "manifest written", "publish committing"])
def test_a_crash_in_the_first_epoch_after_a_sink_gained_tasks_costs_nothing(
    step: str, grown: Broker, state: Path
) -> None:
    run(upper(grown), grown, state)
    grow(grown, 4)
    with pytest.raises(Crash):
        run(upper(grown), grown, state, on_step=crash_at(step))
    run(upper(grown), grown, state)
    assert sorted(grown.values("out")) == ["X"] * 12 + ["Y"] * 12


def test_a_job_with_an_exchange_takes_up_partitions_that_came_while_it_was_down(grown: Broker, state: Path) -> None:
    run(counts(grown), grown, state)
    grow(grown, 4)
    run(counts(grown), grown, state)
    assert grown.by_key("out") == {"x": list(range(1, 13)), "y": list(range(1, 13))}


@pytest.mark.parametrize("job", [upper, counts])
def test_a_running_job_takes_up_new_partitions_by_itself(job: object, grown: Broker, state: Path) -> None:
    with Running(job(grown), grown, state) as running:  # type: ignore[operator]
        running.until(lambda progress: progress.records_in == 12 and progress.epoch >= 1)
        grow(grown, 3)
        running.until(lambda progress: progress.records_in == 24)
    if job is upper:
        assert sorted(grown.values("out")) == ["X"] * 12 + ["Y"] * 12
    else:
        assert grown.by_key("out") == {"x": list(range(1, 13)), "y": list(range(1, 13))}


def test_state_that_is_keyed_by_the_topics_partitions_refuses_new_ones_until_they_are_allowed(
    grown: Broker, state: Path
) -> None:
    run(own_counts(grown), grown, state)
    grow(grown, 4)
    for _ in range(2):
        with pytest.raises(PartitionsChanged) as caught:
            run(own_counts(grown), grown, state)
        assert (caught.value.code, caught.value.topic) == ("RF-3006", grown.name("in"))
        assert "--allow-new-partitions" in str(caught.value)
    run(own_counts(grown), grown, state, allow_new_partitions=True)
    found = grown.by_key("out")
    assert found.keys() == {key for key, _ in WORDS}
    # Keys that stayed in partition 0 went on; those that moved began anew, as the user was told.
    assert {tuple(rows) for rows in found.values()} == {(1, 2), (1, 1)}
    grown.append("in", WORDS)
    run(own_counts(grown), grown, state)
    assert {tuple(rows) for rows in grown.by_key("out").values()} == {(1, 2, 3), (1, 1, 2)}


def test_a_running_job_with_such_state_stops_and_loses_nothing(grown: Broker, state: Path) -> None:
    running = Running(own_counts(grown), grown, state)
    running.until(lambda progress: progress.records_in == 12 and progress.epoch >= 1)
    grow(grown, 4)
    assert isinstance(running.failure(), PartitionsChanged)
    run(own_counts(grown), grown, state, allow_new_partitions=True)
    assert sorted(len(rows) for rows in grown.by_key("out").values()) == [2] * 12
