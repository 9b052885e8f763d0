"""Savepoints: stop with one, go on from it elsewhere, clone a job."""

from __future__ import annotations

from pathlib import Path

import pytest

import rayflow as rf
from rayflow.checkpoint.attempts import newest_attempt
from rayflow.checkpoint.manifest import manifest_epochs, newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.core.errors import ObjectExists, ObjectMissing, SourceDataLost, StateWouldBeDropped
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts
from tests.e2e.running import Crash, Running, crash_at, run

WORDS = [("a", "x"), ("b", "y"), ("c", "x")]


@pytest.fixture
def savepoint(broker: Broker, state: Path, tmp_path: Path) -> str:
    """Of a job that has counted x twice and y once, and was stopped with it."""
    uri = f"file:{tmp_path / 'savepoint'}"
    broker.create("in", 3)
    broker.append("in", WORDS)
    with Running(counts(broker), broker, state, savepoint_at_stop=uri) as running:
        running.until(lambda progress: progress.records_in == 3)
    assert broker.by_key("out") == {"x": [1, 2], "y": [1]}
    broker.append("in", WORDS)
    return uri


def test_a_job_goes_on_from_its_savepoint_under_another_state_directory(
    savepoint: str, broker: Broker, tmp_path: Path
) -> None:
    run(counts(broker), broker, tmp_path / "other", from_savepoint=savepoint)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_savepoint_of_a_job_that_ended_by_itself_is_complete(broker: Broker, state: Path, tmp_path: Path) -> None:
    uri = f"file:{tmp_path / 'savepoint'}"
    broker.create("in", 3)
    broker.append("in", WORDS)
    run(counts(broker), broker, state, savepoint_at_stop=uri)
    broker.append("in", WORDS)
    run(counts(broker), broker, tmp_path / "other", from_savepoint=uri)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_second_start_from_a_savepoint_goes_on_from_the_jobs_own_checkpoint(
    savepoint: str, broker: Broker, tmp_path: Path
) -> None:
    run(counts(broker), broker, tmp_path / "other", from_savepoint=savepoint)
    broker.append("in", WORDS)
    run(counts(broker), broker, tmp_path / "other", from_savepoint=savepoint)
    broker.append("in", WORDS)
    run(counts(broker), broker, tmp_path / "other")
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 5, 6, 7, 8], "y": [1, 2, 3, 4]}


def goes_on_from_its_own_checkpoint(broker: Broker, state: Path, attempts: int) -> None:
    """Check that a job, which has counted WORDS twice, is as it was, and counts them a third time."""
    store = open_store(f"file:{state / 'jobs' / broker.name('counts') / 'checkpoints'}")
    assert newest_attempt(store) == attempts
    broker.append("in", WORDS)
    run(counts(broker), broker, state)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 5, 6], "y": [1, 2, 3]}


def test_a_refused_savepoint_with_state_that_would_be_lost_leaves_the_job_as_it_was(
    savepoint: str, broker: Broker, state: Path, tmp_path: Path
) -> None:
    other = rf.Job(broker.name("other"))
    words = other.stream(broker.name("in"), key=str, value=str)
    words.key_by(lambda word: word).count(emit="record", name="differently").to(broker.name("out-of-other"))
    foreign = f"file:{tmp_path / 'foreign'}"
    run(other, broker, tmp_path / "other", savepoint_at_stop=foreign)
    run(counts(broker), broker, state)
    with pytest.raises(StateWouldBeDropped):
        run(counts(broker), broker, state, from_savepoint=foreign)
    goes_on_from_its_own_checkpoint(broker, state, attempts=2)


def test_a_refused_savepoint_of_a_longer_topic_leaves_the_job_as_it_was(
    savepoint: str, broker: Broker, state: Path, tmp_path: Path
) -> None:
    run(counts(broker), broker, state)
    elsewhere = Broker(f"embedded:{tmp_path / 'elsewhere'}", tag=broker.tag)
    elsewhere.create("in", 3)
    elsewhere.append("in", WORDS * 5)
    longer = f"file:{tmp_path / 'longer'}"
    run(counts(elsewhere), elsewhere, tmp_path / "other", savepoint_at_stop=longer)
    elsewhere.close()
    with pytest.raises(SourceDataLost):
        run(counts(broker), broker, state, from_savepoint=longer)
    goes_on_from_its_own_checkpoint(broker, state, attempts=2)


def test_a_refused_older_checkpoint_leaves_the_job_as_it_was(savepoint: str, broker: Broker, state: Path) -> None:
    run(counts(broker), broker, state)
    other = rf.Job(broker.name("counts"))
    words = other.stream(broker.name("in"), key=str, value=str)
    words.key_by(lambda word: word).count(emit="record", name="differently").to(broker.name("out"))
    store = open_store(f"file:{state / 'jobs' / broker.name('counts') / 'checkpoints'}")
    with pytest.raises(StateWouldBeDropped):
        run(other, broker, state, from_checkpoint=manifest_epochs(store)[0])
    goes_on_from_its_own_checkpoint(broker, state, attempts=2)


@pytest.mark.parametrize("step", ["before InjectBarrier", "segment written", "manifest written", "publish committing"])
def test_a_crash_in_the_first_epoch_after_a_savepoint_costs_nothing(
    step: str, savepoint: str, broker: Broker, tmp_path: Path
) -> None:
    with pytest.raises(Crash):
        run(counts(broker), broker, tmp_path / "other", from_savepoint=savepoint, on_step=crash_at(step))
    run(counts(broker), broker, tmp_path / "other", from_savepoint=savepoint)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


@pytest.mark.parametrize("step", ["manifest written", "publish committing"])
def test_a_crash_in_the_first_epoch_after_an_older_checkpoint_costs_nothing(
    step: str, broker: Broker, state: Path
) -> None:
    broker.create("in", 3)
    for _ in range(2):
        broker.append("in", WORDS)
        run(counts(broker), broker, state)
    store = open_store(f"file:{state / 'jobs' / broker.name('counts') / 'checkpoints'}")
    newest = newest_manifest(store)
    assert newest is not None
    broker.append("in", WORDS)
    with pytest.raises(Crash):
        run(counts(broker), broker, state, from_checkpoint=newest.epoch, on_step=crash_at(step))
    run(counts(broker), broker, state)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 5, 6], "y": [1, 2, 3]}


def test_going_back_to_an_older_checkpoint_happens_once_however_often_the_command_is_given(
    embedded: Broker, state: Path
) -> None:
    embedded.create("in", 3)
    embedded.append("in", WORDS)
    run(counts(embedded), embedded, state)
    newest = newest_manifest(open_store(f"file:{state / 'jobs' / embedded.name('counts') / 'checkpoints'}"))
    assert newest is not None
    for _ in range(2):
        embedded.append("in", WORDS)
        run(counts(embedded), embedded, state, from_checkpoint=newest.epoch)
    assert embedded.by_key("out") == {"x": [1, 2, 3, 4, 5, 6], "y": [1, 2, 3]}


def test_a_clone_has_the_state_and_leaves_the_first_job_alone(
    savepoint: str, broker: Broker, state: Path, tmp_path: Path
) -> None:
    clone = rf.Job(broker.name("clone"))
    words = clone.stream(broker.name("in"), key=str, value=str)
    words.key_by(lambda word: word).count(emit="record", name="counts").to(broker.name("cloned"))
    with pytest.raises(Crash):
        run(clone, broker, tmp_path / "clone", from_savepoint=savepoint, on_step=crash_at("manifest written"))
    run(clone, broker, tmp_path / "clone")
    assert broker.by_key("cloned") == {"x": [3, 4], "y": [2]}
    broker.append("in", WORDS)
    run(counts(broker), broker, state)
    run(clone, broker, tmp_path / "clone")
    assert broker.by_key("cloned") == {"x": [3, 4, 5, 6], "y": [2, 3]}
    assert broker.by_key("out") == {"x": [1, 2, 3, 4, 5, 6], "y": [1, 2, 3]}


def test_a_savepoint_is_never_written_over(savepoint: str, broker: Broker, state: Path) -> None:
    with pytest.raises(ObjectExists):
        run(counts(broker), broker, state, savepoint_at_stop=savepoint)
    assert broker.by_key("out") == {"x": [1, 2], "y": [1]}  # refused at the start
    run(counts(broker), broker, state)
    assert broker.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_savepoint_that_is_not_there_is_refused(embedded: Broker, state: Path, tmp_path: Path) -> None:
    embedded.create("in", 3)
    with pytest.raises(ObjectMissing):
        run(counts(embedded), embedded, state, from_savepoint=f"file:{tmp_path / 'nowhere'}")
