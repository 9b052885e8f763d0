"""How long a worker says that it was blocked is how long its tasks could send nothing."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.runtimes.hosting.channels import outgoing
from rayflow.runtimes.hosting.worker_host import WorkerHost
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.simulation import Simulation


def test_a_worker_counts_the_time_for_which_it_waits_for_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "WINDOW", 100)
    hosts: set[WorkerHost] = set()
    waited: dict[WorkerHost, float] = {}
    last: dict[WorkerHost, float] = {}
    shape = Shape(3, 2, ("totals",), filtered=False, disorder=50, window=200, timer=1, interval=100)
    simulation = Simulation(1, faults=Faults(), shape=shape, records=300)
    turn = WorkerHost.turn

    def turning(self: WorkerHost, *more: Any) -> bool:
        now = simulation.seconds()
        if self in last:
            waited[self] = waited.get(self, 0.0) + now - last.pop(self)
        worked = turn(self, *more)
        hosts.add(self)
        if self._outgoing is not None and self._outgoing.waiting:
            last[self] = now
        return worked

    monkeypatch.setattr(WorkerHost, "turn", turning)
    simulation.run()
    truly, counted = sum(waited.values()), sum(host.blocked for host in hosts)
    print(f"{len(hosts)} workers waited {truly:.3f} s, and counted {counted:.3f} s")
    assert truly > 0.1
    assert counted > truly / 2
