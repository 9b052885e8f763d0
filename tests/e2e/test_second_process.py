"""A job that is started while it runs already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rayflow.checkpoint.attempts import newest_attempt
from rayflow.checkpoint.open import open_store
from rayflow.connectors.parts import as_sink
from rayflow.connectors.steps import BEGUN
from rayflow.core.errors import AlreadyRunning, Fenced, OutputOfAnotherRun
from rayflow.core.ids import TaskId
from rayflow.runtimes.local.fencing import MOST
from rayflow.runtimes.machine.node_state import NodeState
from tests.e2e.brokers import Broker
from tests.e2e.jobs import COUNTS_FILE, counts
from tests.e2e.processes import Command, arguments_of, job_file
from tests.e2e.running import Running, run
from tests.kafka.client import until

WORDS = [("a", "x"), ("b", "y"), ("c", "x")]


@pytest.fixture
def first(broker: Broker, state: Path) -> Iterator[Running]:
    """A job that has published an epoch and goes on."""
    broker.create("in", 3)
    broker.append("in", WORDS)
    with Running(counts(broker), broker, state) as running:
        running.until(lambda progress: progress.records_in == 3 and progress.epoch >= 1)
        until(lambda: shows(broker, {"x": [1, 2], "y": [1]}))
        yield running


def shows(broker: Broker, expected: dict[str, list[int]]) -> bool:
    """Whether the output is this."""
    return broker.exists("out") and broker.by_key("out") == expected


def goes_on(first: Running, broker: Broker) -> None:
    """Check that the first process does its work undisturbed."""
    broker.append("in", WORDS)
    first.until(lambda progress: progress.records_in == 6)
    first.stop()
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_second_process_on_the_same_state_directory_is_told_who_runs_it(
    broker: Broker, state: Path, tmp_path: Path
) -> None:
    broker.create("in", 3)
    broker.append("in", WORDS)
    file = str(job_file(tmp_path, COUNTS_FILE))
    first = Command(tmp_path, "run", file, *arguments_of(broker, state))
    until(lambda: shows(broker, {"x": [1, 2], "y": [1]}))
    second = Command(tmp_path, "run", file, *arguments_of(broker, state)).wait()
    assert second.code == 1
    assert second.failure["code"] == AlreadyRunning.code
    assert f"process {first.process.pid} runs this job" in second.failure["message"]
    broker.append("in", WORDS)
    until(lambda: shows(broker, {"x": [1, 2, 3, 4], "y": [1, 2]}))
    first.process.terminate()
    assert first.wait().code == 0
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_run_is_refused_before_its_start_disturbs_a_worker_that_holds_the_jobs_state(
    broker: Broker, state: Path
) -> None:
    broker.create("in", 3)
    broker.append("in", WORDS)
    run(counts(broker), broker, state)
    folder = state / "jobs" / broker.name("counts")
    store = open_store(f"file:{folder / 'checkpoints'}")
    claimed = newest_attempt(store)
    held = NodeState(folder).open(TaskId("s1", 0))  # as a worker on Ray does
    with pytest.raises(AlreadyRunning, match=r"of the job on Ray or of another run, holds .*s1-0"):
        run(counts(broker), broker, state)
    assert newest_attempt(store) == claimed
    held.close()
    broker.append("in", WORDS)
    run(counts(broker), broker, state)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_the_lock_of_a_killed_process_is_free(broker: Broker, state: Path, tmp_path: Path) -> None:
    broker.create("in", 3)
    broker.append("in", WORDS)
    first = Command(tmp_path, "run", str(job_file(tmp_path, COUNTS_FILE)), *arguments_of(broker, state))
    until(lambda: shows(broker, {"x": [1, 2], "y": [1]}))
    first.kill()
    broker.append("in", WORDS)
    run(counts(broker), broker, state)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_fresh_start_over_the_output_of_another_run_is_refused(
    first: Running, broker: Broker, tmp_path: Path
) -> None:
    with pytest.raises(OutputOfAnotherRun) as caught:
        run(counts(broker), broker, tmp_path / "other")
    assert caught.value.code == "RF-3012"
    goes_on(first, broker)


def test_a_fresh_start_over_the_output_of_another_run_may_be_asked_for(broker: Broker, tmp_path: Path) -> None:
    broker.create("in", 3)
    broker.append("in", WORDS)
    run(counts(broker), broker, tmp_path / "one")
    run(counts(broker), broker, tmp_path / "two", new_lineage=True)
    broker.append("in", WORDS)
    run(counts(broker), broker, tmp_path / "two")
    assert broker.by_key("out") == {"x": [1, 2, 1, 2, 3, 4], "y": [1, 1, 2]}


def test_a_run_whose_output_another_one_has_gone_on_with_is_refused(broker: Broker, tmp_path: Path) -> None:
    broker.create("in", 3)
    for _ in range(2):
        broker.append("in", WORDS)
        run(counts(broker), broker, tmp_path / "one")
    run(counts(broker), broker, tmp_path / "two", new_lineage=True)
    broker.append("in", WORDS)
    with pytest.raises(OutputOfAnotherRun):
        run(counts(broker), broker, tmp_path / "one")
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 1, 2, 3, 4], "y": [1, 2, 1, 2]}


def test_a_newer_attempt_on_the_same_checkpoints_takes_over(broker: Broker, tmp_path: Path) -> None:
    checkpoints = f"file:{tmp_path / 'checkpoints'}"
    broker.create("in", 3)
    broker.append("in", WORDS)
    older = Running(counts(broker), broker, tmp_path / "one", checkpoints=checkpoints)
    older.until(lambda progress: progress.records_in == 3 and progress.epoch >= 1)
    with Running(counts(broker), broker, tmp_path / "two", checkpoints=checkpoints) as newer:
        newer.until(lambda progress: progress.state == "running")
        broker.append("in", WORDS)
        error = older.failure()
        assert isinstance(error, Fenced)
        assert error.code == "RF-3004"
        newer.until(lambda progress: progress.records_in >= 3)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_an_idle_older_attempt_learns_of_the_newer_one_with_its_next_records(broker: Broker, tmp_path: Path) -> None:
    checkpoints = f"file:{tmp_path / 'checkpoints'}"
    broker.create("in", 3)
    older = Running(counts(broker), broker, tmp_path / "one", checkpoints=checkpoints)
    older.until(lambda progress: progress.state == "running")
    run(counts(broker), broker, tmp_path / "two", checkpoints=checkpoints)
    broker.append("in", WORDS)
    assert isinstance(older.failure(), Fenced)
    run(counts(broker), broker, tmp_path / "two", checkpoints=checkpoints)
    assert broker.by_key("out") == {"x": [1, 2], "y": [1]}


def take_slot(broker: Broker) -> None:
    """What a process does that was cut off in a commit: it opens its publisher again to find out what became of it."""
    topics = {"out": broker.name("out")}
    publisher = as_sink(broker.connector, "exactly_once").publisher(broker.name("counts"), 0, "exactly_once", topics)
    publisher.open([])
    publisher.close()


def test_an_older_process_that_comes_back_costs_the_newer_one_a_recovery(first: Running, broker: Broker) -> None:
    take_slot(broker)
    broker.append("in", WORDS)
    first.until(lambda progress: progress.attempts == 2 and progress.records_in >= 3)
    until(lambda: shows(broker, {"x": [1, 2, 3, 4], "y": [1, 2]}))
    first.stop()
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_run_that_is_fenced_again_and_again_ends(broker: Broker, state: Path) -> None:
    """For example because two of its sinks are one cluster under two names."""
    taken = 0

    def on_step(step: str) -> None:
        nonlocal taken
        if step == f"publish {BEGUN}" and taken <= MOST:
            taken += 1
            take_slot(broker)

    broker.create("in", 3)
    broker.append("in", WORDS)
    with pytest.raises(Fenced):
        run(counts(broker), broker, state, on_step=on_step)
    assert taken == MOST + 1
    run(counts(broker), broker, state)
    assert broker.by_key("out") == {"x": [1, 2], "y": [1]}
