"""A rescale that the cluster cannot fulfil, without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rayflow.checkpoint.open import open_store
from rayflow.core.errors import NotEnoughResources
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray.coordinator_loop import CoordinatorLoop
from rayflow.runtimes.ray.requests import Rescale
from tests.runtimes.ray.test_coordinator_loop import hosted
from tests.runtimes.ray.test_requests import spec


class FewWorkers:
    """A pool in a cluster that has room for some workers. `patient`: how often `ready` is false before it raises."""

    def __init__(self, room: int, patient: int = 2) -> None:
        self.slots: set[int] = set()
        self._room = room
        self._patient = patient

    def resize(self, slots: Sequence[int]) -> None:
        self.slots |= set(slots)

    def shrink(self, slots: Sequence[int]) -> None:
        self.slots &= set(slots)

    def ready(self, slots: Sequence[int]) -> bool:
        assert set(slots) <= self.slots
        if len(slots) <= self._room:
            return True
        if self._patient == 0:
            raise NotEnoughResources("no room", job="links")
        self._patient -= 1
        return False

    def drop_lost(self) -> None:
        pass

    def check(self) -> None:
        pass


def restarted(folder: Path, pool: FewWorkers, monkeypatch: pytest.MonkeyPatch) -> CoordinatorLoop:
    """The loop of the next process of a job that ran with two workers."""
    store = open_store(f"file:{folder / 'checkpoints'}")
    loop = CoordinatorLoop(spec(folder), None, Journal())
    loop._requests.open(store)
    loop._requests.save("running")
    loop._requests.open(store)
    monkeypatch.setattr(loop, "pool", pool)
    monkeypatch.setattr(loop.steering, "_pool", pool)
    monkeypatch.setattr(loop._view.overview, "look", lambda: None)
    return loop


def test_a_restarted_coordinator_runs_with_the_workers_that_it_had_while_more_are_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = restarted(tmp_path, FewWorkers(room=2), monkeypatch)
    loop.steering.rescale(Rescale(60))  # the client repeats it
    assert loop._gather() == (0, 1)


def test_a_restarted_coordinator_refuses_a_rescale_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = restarted(tmp_path, FewWorkers(room=2, patient=0), monkeypatch)
    rescale = Rescale(60)
    loop.steering.rescale(rescale)
    assert loop._gather() == (0, 1)
    assert rescale.done
    assert isinstance(rescale.error, NotEnoughResources)


def test_the_rescale_is_refused_while_the_job_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = FewWorkers(room=2, patient=1)
    loop = restarted(tmp_path, pool, monkeypatch)
    rescale = Rescale(60)
    loop.steering.rescale(rescale)
    loop._gather()
    attempt: Any = hosted(2)
    loop.steering.begin(attempt)
    loop.steering.running(attempt)
    assert not rescale.done
    loop.steering.look(attempt, loop._view.overview.load, 0.0)
    assert isinstance(rescale.error, NotEnoughResources)
    assert pool.slots == {0, 1}


def test_a_rescale_outlives_the_process_once_its_workers_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = restarted(tmp_path, FewWorkers(room=3), monkeypatch)
    loop.steering.rescale(Rescale(3))
    next_one = restarted_requests(tmp_path)
    assert next_one == 2
    loop.steering.running(hosted(3))
    assert restarted_requests(tmp_path) == 3


def restarted_requests(folder: Path) -> int:
    """How many workers the next process begins with."""
    loop = CoordinatorLoop(spec(folder), None, Journal())
    loop._requests.open(open_store(f"file:{folder / 'checkpoints'}"))
    return loop._requests.workers


def test_a_rescale_that_another_one_overtakes_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = restarted(tmp_path, FewWorkers(room=4), monkeypatch)
    first, second = Rescale(3), Rescale(4)
    loop.steering.rescale(first)
    loop.steering.rescale(second)
    assert first.error is not None
    assert "to 4" in first.error.what
    loop.steering.running(hosted(4))
    assert (second.done, second.error) == (True, None)


def test_requests_for_the_same_number_are_answered_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = restarted(tmp_path, FewWorkers(room=4), monkeypatch)
    asked = [Rescale(3), Rescale(3), Rescale(3)]
    for rescale in asked:
        loop.steering.rescale(rescale)
    assert not any(rescale.done for rescale in asked)
    loop.steering.running(hosted(3))
    assert [(rescale.done, rescale.error) for rescale in asked] == [(True, None)] * 3
