"""Requests outlive the coordinator process that took them; without Ray."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import NoReturn

import pytest

from rayflow.checkpoint.open import open_store
from rayflow.core.errors import CheckpointStoreFailed, InvariantBroken, RayflowError
from rayflow.runtimes.hosting.channels.outgoing import Frame
from rayflow.runtimes.hosting.messages import Failed
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray import requests
from rayflow.runtimes.ray.client import folder_of
from rayflow.runtimes.ray.deployment import Deployment, read_deployment, write_deployment
from rayflow.runtimes.ray.requests import Requests, Rescale
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.worker_loop import WorkerLoop
from tests.runtimes.ray.test_links import plan


def spec(folder: Path, submission: str = "first") -> JobSpec:
    return JobSpec("links", "links.py", RunOptions(state=folder), submission, "secret", workers=2)


def test_the_next_process_of_a_submission_knows_its_requests(tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    first = Requests(spec(tmp_path))
    assert first.open(store) is None
    first.save("running")
    first.fulfil(3)
    first.stop("stop", "file:/here")
    first.stop("drain", "file:/there")
    next_one = Requests(spec(tmp_path))
    assert next_one.open(store) is not None
    assert (next_one.workers, next_one.ending, next_one.last.uris) == (3, "drain", ["file:/here", "file:/there"])


def test_the_next_process_runs_with_the_workers_that_last_ran(tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    first = Requests(spec(tmp_path))
    first.open(store)
    first.save("running")
    first.workers = 60  # a rescale, which never gets them
    first.stop("stop", None)
    next_one = Requests(spec(tmp_path))
    next_one.open(store)
    assert (next_one.workers, next_one.fulfilled) == (2, 2)


def test_the_next_process_knows_the_ends_of_a_bounded_run(tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    first = Requests(spec(tmp_path))
    first.open(store)
    first.save("running")
    first.ends.update({("orders", 0): 7, ("größe", 1): 0})
    first.fulfil(2)
    next_one = Requests(spec(tmp_path))
    next_one.open(store)
    assert next_one.ends == {("orders", 0): 7, ("größe", 1): 0}
    next_one.ends["orders", 1] = 3  # a new partition
    next_one.fulfil(2)
    last = Requests(spec(tmp_path))
    last.open(store)
    assert last.ends == {("orders", 0): 7, ("größe", 1): 0, ("orders", 1): 3}
    other = Requests(spec(tmp_path, "other"))
    other.open(store)
    assert other.ends == {}


def test_an_attempt_of_a_bounded_run_whose_ends_cannot_be_saved_fails_and_the_next_one_saves_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    first = Requests(spec(tmp_path))
    first.open(store)
    first.save("running")
    first.ends["orders", 0] = 7

    def away(*_: object) -> NoReturn:
        raise CheckpointStoreFailed("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(requests, "write_deployment", away)
        with pytest.raises(CheckpointStoreFailed):
            first.fulfil(2)
    first.fulfil(2)
    next_one = Requests(spec(tmp_path))
    next_one.open(store)
    assert next_one.ends == {("orders", 0): 7}


def test_another_submission_begins_with_its_own(tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    first = Requests(spec(tmp_path))
    first.open(store)
    first.stop("stop", None)
    other = Requests(spec(tmp_path, "other"))
    assert other.open(store) is None
    assert (other.workers, other.ending) == (2, None)


def test_a_process_sees_that_another_has_taken_its_job_over(tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    first, second = Requests(spec(tmp_path)), Requests(spec(tmp_path))
    first.open(store)
    assert not first.superseded()
    first.save("running")
    assert not first.superseded()
    second.open(store)
    second.save("running")
    assert first.superseded()
    assert not second.superseded()


def test_an_asked_stop_becomes_a_drain_but_never_the_reverse(tmp_path: Path) -> None:
    requests = Requests(spec(tmp_path))
    requests.stop("stop", None)
    requests.stop("drain", None)
    requests.stop("stop", None)
    assert requests.ending == "drain"


def test_a_deployment_without_the_newer_fields_is_read(tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    store.put("deployment.json", [b'{"submission":"s","workers":2}'])
    assert read_deployment(store) == Deployment("s", 2)
    write_deployment(store, Deployment("s", 3, ending="stop"))
    assert read_deployment(store) == Deployment("s", 3, ending="stop")


def test_who_asks_for_other_workers_is_told_why_not() -> None:
    rescale, error = Rescale(3), RayflowError("no room")
    rescale.answer(error)
    assert (rescale.done, rescale.error) == (True, error)


class Odd(Exception):
    """Can be pickled, but not be read again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd")


class Told:
    """Keeps what the coordinator would be told."""

    def __init__(self) -> None:
        self.bodies: list[object] = []

    def report(self, attempt: int, message: object) -> None:
        self.bodies.append(pickle.loads(pickle.dumps(message)))

    def deliver(self, worker: int, frame: Frame) -> None:
        raise AssertionError


def test_an_error_that_does_not_travel_is_told_in_words(tmp_path: Path) -> None:
    def fails() -> bool:
        raise Odd(1, 2)

    told = Told()
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    loop = WorkerLoop(spec(tmp_path), plan(), store, 1, told, Journal())
    loop._guarded(fails)
    (failed,) = [body for body in told.bodies if isinstance(body, Failed)]
    assert isinstance(failed.error, InvariantBroken)
    assert "Odd" in failed.error.what


def test_a_job_is_shipped_with_the_folder_of_its_project(tmp_path: Path) -> None:
    (tmp_path / "project" / "jobs").mkdir(parents=True)
    file = tmp_path / "project" / "jobs" / "a.py"
    file.touch()
    assert folder_of(str(file)) == (file.parent, "a.py")
    (tmp_path / "project" / "rayflow.toml").touch()
    assert folder_of(f"{file}:job") == (tmp_path / "project", "jobs/a.py:job")
    with pytest.raises(RayflowError):
        folder_of(str(tmp_path / "none.py"))
