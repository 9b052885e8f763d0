"""The coordinator's loop, without Ray."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import ray

from rayflow.core.errors import Fenced, WorkerLost
from rayflow.engine.orders import FinishAttempt
from rayflow.runtimes.hosting.status import JobState, JobStatus
from rayflow.runtimes.hosting.worker_metrics import Counts, WorkerMetrics
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray.coordinator_loop import CoordinatorLoop
from rayflow.runtimes.ray.links.actor_links import Peers
from rayflow.runtimes.ray.pool import Member
from tests.runtimes.ray.test_requests import spec


class CannotClose(Exception):
    """Something that cannot be closed."""


PARTS = ("pool", "_connectors", "_view")


@pytest.mark.parametrize("name", PARTS)
def test_the_end_is_announced_whatever_cannot_be_closed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = CoordinatorLoop(spec(tmp_path), None, Journal())
    closed: list[str] = []

    def fail() -> NoReturn:
        raise CannotClose

    for each in PARTS:
        monkeypatch.setattr(
            getattr(loop, each), "close", fail if each == name else lambda each=each: closed.append(each)
        )
    monkeypatch.setattr(loop, "_live", lambda: None)
    with pytest.raises(CannotClose):
        loop.run()
    assert loop.ended.is_set()
    assert sorted([*closed, name]) == sorted(PARTS)


def test_every_worker_is_ended_also_if_one_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = CoordinatorLoop(spec(tmp_path), None, Journal()).pool
    pool.members.update({slot: member(slot) for slot in range(3)})
    ended: list[int] = []

    def kill(actor: int, *, no_restart: bool) -> None:
        if actor == 1:
            raise CannotClose
        ended.append(actor)

    for slot, each in pool.members.items():
        each.actor = slot
    monkeypatch.setattr(ray, "kill", kill)
    with pytest.raises(CannotClose):
        pool.close()
    assert sorted(ended) == [0, 2]
    assert not pool.members


def test_the_workers_of_an_attempt_are_introduced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = CoordinatorLoop(spec(tmp_path), None, Journal()).pool
    pool.members.update({slot: member(slot) for slot in range(2)})
    told: list[tuple[int, int, object]] = []
    monkeypatch.setattr(pool, "tell", lambda *message: told.append(message))
    for attempt in (1, 1, 2):
        pool.introduce((0, 1), attempt)
    peers = Peers({0: ("here", 0), 1: ("here", 1)})
    assert told == [(0, 1, peers), (1, 1, peers), (0, 2, peers), (1, 2, peers)]


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CoordinatorLoop:
    """A loop whose next attempt follows a failure at once."""
    loop = CoordinatorLoop(spec(tmp_path), None, Journal())
    monkeypatch.setattr(loop._interruptions, "failed", lambda error: 0.0)
    return loop


def test_a_fenced_attempt_ends_the_job_if_another_process_has_taken_it_over(
    failing: CoordinatorLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing._recover(Fenced("by an attempt of its own"))
    monkeypatch.setattr(failing.steering.requests, "superseded", lambda: True)
    with pytest.raises(Fenced):
        failing._recover(Fenced("by another process"))


def test_a_failed_call_through_ray_counts_as_a_lost_worker(failing: CoordinatorLoop) -> None:
    failing._recover(ConnectionError())
    assert WorkerLost.code in failing.status.cause
    assert "ConnectionError" in failing.status.cause


@pytest.mark.parametrize(
    ("state", "established", "then"),
    [("running", True, "recovering"), ("starting", False, "starting"), ("stopping", True, "stopping")],
)
def test_the_status_shows_a_recovery_except_of_a_job_that_starts_or_stops(
    failing: CoordinatorLoop, state: JobState, established: bool, then: JobState
) -> None:
    failing.status.state, failing._interruptions.established = state, established
    failing._recover(WorkerLost("gone"))
    assert failing.status.state == then


def member(slot: int) -> Member:
    started: Any = SimpleNamespace(host="here", node="n", pid=slot, address=("here", slot))
    return Member(slot, 1, None, None, None, 0.0, started=started)


def hosted(workers: int) -> Any:
    return SimpleNamespace(
        finished=FinishAttempt("stop"),
        started=True,
        workers=tuple(range(workers)),
        placement={},
        topology=None,
        manifest=None,
        coordinator=SimpleNamespace(attempt=1),
    )


def test_the_last_status_has_the_counts_that_the_workers_reported_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = CoordinatorLoop(spec(tmp_path), None, Journal())
    loop.pool.members[0] = member(0)

    def look(timeout: float) -> None:
        loop.pool.members[0].metrics = WorkerMetrics(1, counts=Counts(7, 3, 0, 0, 0))

    monkeypatch.setattr(loop.pool, "look", look)
    loop._drive(hosted(1))
    assert (loop.status.records_in, loop.status.records_out) == (7, 3)


def test_the_answer_to_a_rescale_shows_the_new_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = CoordinatorLoop(spec(tmp_path), None, Journal())
    loop.pool.members.update({slot: member(slot) for slot in range(2)})
    loop._view.overview.look()
    del loop.pool.members[1]
    answered: list[JobStatus] = []
    monkeypatch.setattr(loop.steering, "running", lambda hosted: answered.append(loop.status.snapshot()))
    loop._on_started(hosted(1))
    assert [len(status.workers) for status in answered] == [1]
