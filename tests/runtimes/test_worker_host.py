"""A slot's worker: what reaches it from others."""

from __future__ import annotations

from pathlib import Path

import rayflow as rf
from rayflow.checkpoint.open import open_store
from rayflow.core.ids import Attempt, WorkerId
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.channels.outgoing import Feed, Frame
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.worker_host import WorkerHost
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.ports import machine_ports
from rayflow.state.memory_store import MemoryStore


class Nowhere:
    """Links that lose everything."""

    def report(self, attempt: Attempt, message: object) -> None:
        pass

    def deliver(self, worker: WorkerId, frame: Frame) -> None:
        pass


def test_credit_for_what_an_earlier_process_of_the_slot_sent_is_dropped(tmp_path: Path) -> None:
    job = rf.Job("counts")
    job.stream("words", value=str).key_by(str.lower).count(name="counts").to("out")
    options = RunOptions(broker=f"embedded:{tmp_path / 'log'}", state=tmp_path / "state")
    connectors = OpenConnectors.of_run(options)
    ports = machine_ports(open_store(f"file:{tmp_path / 'checkpoints'}"), connectors)
    host = WorkerHost(plan_of(job), options, 1, ports, lambda task: MemoryStore(), Nowhere())
    (exchange,) = plan_of(job).exchanges
    host.post(Frame(0, 7, 0, [], [(Feed(exchange.id, 1), 117)]))
    host.turn()
    assert host.attempt == 7
    host.drop()
    connectors.close()
