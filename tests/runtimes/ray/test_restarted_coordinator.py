"""A coordinator's process dies, and the next one continues; without Ray."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rayflow.checkpoint.manifest import read_savepoint
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import CheckpointStoreFailed, RayflowError
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray import coordinator_loop, requests
from rayflow.runtimes.ray.coordinator_loop import CoordinatorLoop
from rayflow.runtimes.ray.deployment import Deployment, read_deployment
from rayflow.runtimes.ray.requests import Rescale
from rayflow.runtimes.ray.restarts import Restarts
from rayflow.runtimes.ray.spec import JobSpec
from tests.checkpoint.model import History
from tests.runtimes.ray.test_links import plan
from tests.runtimes.ray.test_requests import spec


class Killed(BaseException):
    """The process is killed here."""


During = Callable[[CoordinatorLoop], None]
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

    def make(during: During = lambda loop: None) -> CoordinatorLoop:
        store = open_store(spec(tmp_path).checkpoints)
        loop = CoordinatorLoop(spec(tmp_path), None, Journal(), restarted=read_deployment(store) is not None)

        def attempt(*_: object) -> str:
            during(loop)
            history.run_epoch()
            return "stop"

        monkeypatch.setattr(loop, "_attempt", attempt)
        monkeypatch.setattr(loop.pool, "resize", lambda slots: None)
        return loop

    return make


@pytest.fixture
def stop(tmp_path: Path) -> tuple[str, During]:
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


def test_a_job_that_was_drained_is_done_though_the_process_died_before_it_said_so(
    process: Process, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = process(lambda loop: loop.steering.stop(drain=True, savepoint=None))
    monkeypatch.setattr(first, "_write_last", killed)
    with pytest.raises(Killed):
        first._live()
    drained = history.epoch
    second = process()
    second.run()
    assert (second.status.state, second.error) == ("stopped", None)  # what an attempt of this test says
    assert history.epoch == drained


class Away:
    """A deployment that cannot be read the first `times` times. `asked`: what happens in between."""

    def __init__(self, times: int, asked: Callable[[], None] = lambda: None) -> None:
        self.left = times
        self._asked = asked

    def __call__(self, store: CheckpointStore) -> Deployment | None:
        if self.left:
            self.left -= 1
            self._asked()
            raise CheckpointStoreFailed("the store is away")
        return read_deployment(store)


def run_once(process: Process) -> None:
    """A first process, which dies while the job runs."""
    with pytest.raises(Killed):
        process(killed)._live()


def test_a_restarted_process_waits_for_a_store_that_is_away(
    process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_once(process)
    shown: set[tuple[str, str]] = set()
    second = process(lambda loop: loop.steering.stop(drain=False, savepoint=None))
    monkeypatch.setattr(second._view.overview, "look", lambda: shown.add((second.status.state, second.status.cause)))
    monkeypatch.setattr(requests, "read_deployment", Away(2))
    second.run()
    assert (second.status.state, second.error) == ("stopped", None)
    assert {state for state, cause in shown if "the store is away" in cause} == {"recovering"}
    assert caplog.text.count("the store is away") == 2  # one line an attempt


def test_a_store_that_stays_away_ends_the_job(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    run_once(process)
    second = process()
    monkeypatch.setattr(second._interruptions, "_restarts", Restarts(1))
    monkeypatch.setattr(requests, "read_deployment", Away(5))
    second.run()
    assert second.status.state == "failed"
    assert isinstance(second.error, CheckpointStoreFailed)


def test_a_restarted_process_that_finds_no_record_of_the_job_does_not_start_it_anew(
    process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_once(process)
    checkpoints = Path(spec(tmp_path).checkpoints.removeprefix("file:"))
    mounted = checkpoints.rename(tmp_path / "elsewhere")
    second = CoordinatorLoop(spec(tmp_path), None, Journal(), restarted=True)
    monkeypatch.setattr(second._interruptions, "_restarts", Restarts(1))
    monkeypatch.setattr(second, "_serve", lambda: second.steering.stop(drain=False, savepoint=None))
    second.run()
    assert (second.status.state, second.error and second.error.code) == ("failed", "RF-4005")
    assert "no record of this submission" in second.status.cause
    assert not checkpoints.exists()  # neither the stop nor the end was saved where the job's checkpoints are not
    assert read_deployment(open_store(f"file:{mounted}")) is not None


def test_a_process_that_was_killed_while_its_job_was_starting_starts_it_again(
    process: Process, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(coordinator_loop, "choose_start", killed)
    first = process()
    monkeypatch.setattr(first, "_off_thread", lambda call: call())
    with pytest.raises(Killed):
        first._live()
    first.steering.stop(drain=True, savepoint=None)  # saved, but it does not make the job one that has begun
    monkeypatch.setattr(coordinator_loop, "choose_start", lambda *_: begun.append("started"))
    second = process()
    second.run()
    assert (second.status.state, begun) == ("stopped", ["started"])


def test_a_submission_is_told_at_once_that_its_store_is_away(
    tmp_path: Path, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = CoordinatorLoop(spec(tmp_path), None, Journal())
    away = Away(5)
    monkeypatch.setattr(requests, "read_deployment", away)
    loop.run()
    assert isinstance(loop.error, CheckpointStoreFailed)
    assert away.left == 4


def test_requests_that_come_while_the_store_is_away_are_added_to_the_saved_ones(
    process: Process, stop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, request = stop

    def asked_before_it_dies(loop: CoordinatorLoop) -> None:
        loop.steering.stop(drain=True, savepoint=None)
        raise Killed

    with pytest.raises(Killed):
        process(asked_before_it_dies)._live()
    second = process()
    rescale = Rescale(3)

    def asked() -> None:
        request(second)
        second.steering.rescale(rescale)

    monkeypatch.setattr(requests, "read_deployment", Away(1, asked))
    second.run()
    found = second.steering.requests
    assert (found.ending, found.last.written) == ("drain", [uri])
    assert (found.workers, found.fulfilled) == (3, 2)


@pytest.mark.parametrize("error", [None, RayflowError("the cause")])
def test_the_process_of_a_job_that_has_ended_shows_what_was_saved_last(
    error: RayflowError | None,
    process: Process,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = process()
    if error is not None:
        monkeypatch.setattr(first, "_attempt", raising(error))
    first.run()
    caplog.set_level(logging.INFO)
    second = process()
    second.run()
    manifest = history.manifests[history.epoch]
    shown = second.status
    assert (shown.state, shown.cause) == (first.status.state, first.status.cause)
    assert (shown.epoch, shown.checkpoint_bytes) == (manifest.epoch, manifest.bytes)
    assert "the job had ended" in caplog.text


def raising(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail
