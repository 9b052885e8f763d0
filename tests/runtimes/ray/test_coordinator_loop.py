"""The coordinator's loop, without Ray."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from rayflow.engine.orders import FinishAttempt
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.hosting.worker_metrics import Counts, WorkerMetrics
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray.coordinator_loop import CoordinatorLoop
from rayflow.runtimes.ray.pool import Member
from tests.runtimes.ray.test_requests import spec


class CannotClose(Exception):
    """Something that cannot be closed."""


PARTS = ("pool", "_connectors", "_metrics")


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


def member(slot: int) -> Member:
    started: Any = SimpleNamespace(host="here", node="n", pid=slot)
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
    loop._overview.look()
    del loop.pool.members[1]
    answered: list[JobStatus] = []
    monkeypatch.setattr(loop.steering, "running", lambda hosted: answered.append(loop.status.snapshot()))
    loop._on_started(hosted(1))
    assert [len(status.workers) for status in answered] == [1]
