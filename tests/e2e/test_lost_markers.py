"""Markers that the broker has forgotten while the job was down, as Kafka does after seven days."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayflow.checkpoint.inspect import show
from rayflow.checkpoint.open import open_store
from rayflow.core.errors import MarkerLost
from rayflow.engine.recovery import LostMarker
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts
from tests.e2e.running import Crash, Running, crash_at, run

WORDS = [("a", "x"), ("b", "y"), ("c", "x")]


@pytest.fixture
def fed(broker: Broker) -> Broker:
    """With three words, and no checkpoint for as long as a test runs but the last one."""
    broker.create("in", 3)
    broker.append("in", WORDS)
    return broker


def test_a_job_that_ended_by_itself_asks_nothing(fed: Broker, state: Path) -> None:
    run(counts(fed), fed, state)
    fed.forget_markers(fed.name("counts"))
    fed.append("in", WORDS)
    run(counts(fed), fed, state)
    assert fed.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_a_job_that_was_stopped_asks_nothing(fed: Broker, state: Path) -> None:
    with Running(counts(fed), fed, state, checkpoint_interval=3_600_000) as running:
        running.until(lambda progress: progress.records_in == 3)
    fed.forget_markers(fed.name("counts"))
    run(counts(fed), fed, state)
    assert fed.by_key("out") == {"x": [1, 2], "y": [1]}


def test_an_end_that_was_noted_is_known_though_the_process_died_then(fed: Broker, state: Path) -> None:
    with pytest.raises(Crash):
        run(counts(fed), fed, state, checkpoint_interval=3_600_000, on_step=crash_at("before FinishAttempt"))
    fed.forget_markers(fed.name("counts"))
    run(counts(fed), fed, state)
    assert fed.by_key("out") == {"x": [1, 2], "y": [1]}


def test_an_end_that_was_not_noted_asks_and_takes_the_answer_for_that_epoch_only(fed: Broker, state: Path) -> None:
    with pytest.raises(Crash):
        run(counts(fed), fed, state, checkpoint_interval=3_600_000, on_step=crash_at("before RecordPublished"))
    fed.forget_markers(fed.name("counts"))
    with pytest.raises(MarkerLost, match="skip@1"):
        run(counts(fed), fed, state)
    with pytest.raises(MarkerLost, match="skip@1"):
        run(counts(fed), fed, state, lost_marker=LostMarker("republish", 2))
    run(counts(fed), fed, state, lost_marker=LostMarker("skip", 1))
    assert fed.by_key("out") == {"x": [1, 2], "y": [1]}


def test_a_marker_that_is_lost_in_the_first_epoch_is_asked_for(fed: Broker, state: Path) -> None:
    with pytest.raises(Crash):
        run(counts(fed), fed, state, on_step=crash_at("publish begun"))
    fed.forget_markers(fed.name("counts"))
    with pytest.raises(MarkerLost, match="republish@1"):
        run(counts(fed), fed, state)
    run(counts(fed), fed, state, lost_marker=LostMarker("republish", 1))
    assert fed.by_key("out") == {"x": [1, 2], "y": [1]}


@pytest.mark.parametrize("step", ["before SetMarkers", "mark marked", "after StartTasks", "before WriteManifest"])
def test_a_crash_before_the_first_epoch_leaves_a_job_that_begins(step: str, fed: Broker, state: Path) -> None:
    with pytest.raises(Crash):
        run(counts(fed), fed, state, on_step=crash_at(step))
    run(counts(fed), fed, state)
    assert fed.by_key("out") == {"x": [1, 2], "y": [1]}


@pytest.mark.parametrize(
    "step", ["mark marked", "before WriteManifest", "manifest written", "publish marked", "published"]
)
def test_a_crash_around_the_first_epoch_of_a_new_lineage_publishes_everything_once_more(
    step: str, fed: Broker, state: Path, tmp_path: Path
) -> None:
    run(counts(fed), fed, state)
    other = tmp_path / "other"
    with pytest.raises(Crash):
        run(counts(fed), fed, other, new_lineage=True, on_step=crash_at(step))
    run(counts(fed), fed, other, new_lineage=True)
    found = fed.by_key("out")
    assert (sorted(found["x"]), found["y"]) == ([1, 1, 2, 2], [1, 1])


def test_the_checkpoint_of_a_run_that_has_ended_shows_that_everything_is_published(fed: Broker, state: Path) -> None:
    run(counts(fed), fed, state)
    detail = show(open_store(f"file:{state / 'jobs' / fed.name('counts') / 'checkpoints'}"))
    assert detail.published
    assert detail.manifest.published < detail.manifest.epoch
