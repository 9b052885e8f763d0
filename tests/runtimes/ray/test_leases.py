"""Workers are asked whether they are there, whatever the coordinator's thread does; without Ray."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rayflow.checkpoint.open import open_store
from rayflow.runtimes.hosting.worker_metrics import WorkerMetrics
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray import leases, worker_loop
from rayflow.runtimes.ray.leases import LEASE, PATIENCE, Leases
from rayflow.runtimes.ray.worker_loop import WorkerLoop
from tests.runtimes.ray.test_links import plan
from tests.runtimes.ray.test_requests import Told, spec

TIMEOUT = 10.0


class Answers:
    """A worker's actor whose answers come at once, or never."""

    def __init__(self, silent: bool = False) -> None:
        self.asked = 0
        self._silent = silent
        self.ping = self

    async def remote(self) -> WorkerMetrics:
        self.asked += 1
        if self._silent:
            await asyncio.Event().wait()
        return WorkerMetrics(attempt=self.asked)


@dataclass
class Worker:
    """What the pool keeps of one."""

    actor: Any = field(default_factory=Answers)
    heard: float = 0.0
    asked: float = 0.0
    told: float = 0.0
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)


def test_workers_are_asked_as_long_as_the_thread_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "PING_EVERY", 0.0)
    worker = Worker()
    gave_up: list[bool] = []
    busy = time.monotonic() - 2 * LEASE * TIMEOUT
    turns = iter([*[busy] * 20, None])
    asyncio.run(Leases(lambda: [worker], TIMEOUT).keep(lambda: next(turns), lambda: gave_up.append(True)))
    assert worker.actor.asked >= 2
    assert worker.metrics.attempt >= 2
    assert not gave_up


@pytest.mark.parametrize("ago", [math.inf, 1 + PATIENCE * LEASE * TIMEOUT])
def test_no_worker_is_asked_for_a_thread_that_has_died_or_hangs_for_good(ago: float) -> None:
    worker = Worker()
    last = time.monotonic() - ago
    gave_up: list[bool] = []
    asyncio.run(Leases(lambda: [worker], TIMEOUT).keep(lambda: last, lambda: gave_up.append(True)))
    assert worker.actor.asked == 0
    assert gave_up


def test_a_worker_that_does_not_answer_holds_up_no_other() -> None:
    silent, other = Worker(Answers(silent=True)), Worker()

    async def ask() -> None:
        asking = Leases(lambda: [silent, other], TIMEOUT)
        now = time.monotonic()
        for turn in range(3):
            asking.ask(now + turn)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(ask())
    assert (silent.actor.asked, other.actor.asked) == (1, 3)
    assert silent.heard == 0.0


def test_silence_of_a_process_that_stood_still_is_no_silence_of_its_workers() -> None:
    worker = Worker()

    async def ask() -> None:
        asking = Leases(lambda: [worker], TIMEOUT)
        now = time.monotonic() + 100.0
        assert not asking.current(now)
        asking.ask(now)
        assert asking.current(now)
        assert worker.heard == worker.told == now

    asyncio.run(ask())


def test_a_worker_that_nobody_asks_ends_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        pass

    def end(code: int) -> None:
        raise Ended

    monkeypatch.setattr(worker_loop.os, "_exit", end)
    store = open_store(f"file:{tmp_path / 'checkpoints'}")
    loop = WorkerLoop(spec(tmp_path), plan(), store, 1, Told(), Journal())
    loop._asked = time.monotonic() - LEASE * TIMEOUT - 1
    with pytest.raises(Ended):
        loop.run()
