"""A coordinator's process dies, and the next one continues; without Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rayflow.checkpoint.manifest import read_savepoint
from rayflow.checkpoint.open import open_store
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray import coordinator_loop
from rayflow.runtimes.ray.coordinator_loop import CoordinatorLoop
from rayflow.runtimes.ray.spec import JobSpec
from tests.checkpoint.model import History
from tests.runtimes.ray.test_links import plan
from tests.runtimes.ray.test_requests import spec


class Killed(BaseException):
    """The process is killed here."""


Process = Callable[..., CoordinatorLoop]


def killed(*_: object) -> NoReturn:
    raise Killed


@pytest.fixture
def history(tmp_path: Path) -> History:
    """The job's checkpoints."""
    history = History(open_store(spec(tmp_path).checkpoints))
    history.run_epoch()
    return history


@pytest.fixture
def process(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    """Makes a coordinator's process. Each of its attempts commits one epoch and stops, after `during` was called."""
    monkeypatch.setattr(JobSpec, "plan", lambda self: plan())
    monkeypatch.setattr(coordinator_loop, "write_samples", lambda plan, connectors: None)

    def make(during: Callable[[CoordinatorLoop], None] = lambda loop: None) -> CoordinatorLoop:
        loop = CoordinatorLoop(spec(tmp_path), None, Journal())

        def attempt(*_: object) -> str:
            during(loop)
            history.run_epoch()
            return "stop"

        monkeypatch.setattr(loop, "_attempt", attempt)
        monkeypatch.setattr(loop.pool, "resize", lambda slots: None)
        return loop

    return make


@pytest.fixture
def stop(tmp_path: Path) -> tuple[str, Callable[[CoordinatorLoop], None]]:
    """A savepoint, and the request to stop with it."""
    uri = f"file:{tmp_path / 'savepoint'}"
    return uri, lambda loop: loop.steering.stop(drain=False, savepoint=uri)


def test_a_job_whose_savepoint_was_written_before_the_process_died_is_stopped_with_it(
    process: Process, history: History, stop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, request = stop
    first = process(request)
    monkeypatch.setattr(first, "_end", killed)
    with pytest.raises(Killed):
        first._live()
    written = read_savepoint(open_store(uri))
    second = process()
    second.run()
    assert (second.status.state, second.status.savepoints, second.error) == ("stopped", [uri], None)
    assert read_savepoint(open_store(uri)) == written
    assert history.epoch == written.epoch  # no record was processed after the savepoint


def test_a_savepoint_is_completed_by_the_next_process(
    process: Process, history: History, stop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, request = stop
    first = process(request)
    monkeypatch.setattr(first, "_write_last", killed)
    with pytest.raises(Killed):
        first._live()
    second = process()
    second.run()
    assert (second.status.state, second.status.savepoints) == ("stopped", [uri])
    assert read_savepoint(open_store(uri)).epoch == history.epoch
