"""Slots that are in use no more are fenced by all workers, one a turn, and their publishers are let go of."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rayflow.core.ids import WorkerId
from rayflow.runtimes.hosting.messages import Fence
from rayflow.runtimes.hosting.publishers import Publishers
from rayflow.runtimes.hosting.takeover import Takeover
from rayflow.runtimes.hosting.worker import WorkerDriver
from rayflow.testing.simulation.simulation import Simulation

SEEDS = 40


def test_unused_slots_are_spread_over_workers_and_turns_and_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    fenced_at_once: Counter[int] = Counter()
    held: Counter[int] = Counter()
    unused: Counter[int] = Counter()
    step, start, open_all = Publishers.step, WorkerDriver._start, Takeover._open

    def stepping(self: Publishers) -> bool:
        before = len(self._to_fence)
        worked = step(self)
        fenced_at_once[max(0, before - len(self._to_fence))] += 1
        return worked

    def starting(self: WorkerDriver, message: Any) -> None:
        start(self, message)
        held[len(self._publishers._others)] += 1

    def opening(self: Takeover, order: Any) -> None:
        fences: Counter[WorkerId] = Counter()
        send = self._send

        def counting(slot: WorkerId, message: object) -> None:
            if isinstance(message, Fence) and message.slot not in self._workers:
                fences[slot] += 1
            send(slot, message)

        self._send = counting
        open_all(self, order)
        self._send = send
        if fences.total() > 1 and len(self._workers) > 1:
            unused[max(fences.values()) - min(fences[slot] for slot in self._workers)] += 1

    monkeypatch.setattr(Publishers, "step", stepping)
    monkeypatch.setattr(WorkerDriver, "_start", starting)
    monkeypatch.setattr(Takeover, "_open", opening)
    for seed in range(SEEDS):
        Simulation(seed).run()
    assert fenced_at_once[1] > 0
    assert max(fenced_at_once) == 1
    assert set(held) == {0}
    print(unused)
    assert unused.total() > 0
    assert max(unused) <= 2  # slots of earlier attempts are not dense
