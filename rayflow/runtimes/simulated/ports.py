"""The ports of a simulated process: models whose durations and faults the simulated world decides."""

from __future__ import annotations

from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.simulated.background import SimulatedBackground
from rayflow.runtimes.simulated.calls import SimulatedCalls
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.store import SimulatedStore


def simulated_ports(process: Process) -> Ports:
    """The ports of the drivers in `process`."""

    def on_step(name: str) -> None:
        if not name.startswith("after "):  # "after" steps are skipped: the next step follows directly
            process.step(name.removeprefix("before "))

    return Ports(
        clock=process.world.clock,
        monotonic=process.monotonic,
        background=lambda: SimulatedBackground(process),
        calls=lambda: SimulatedCalls(process),
        checkpoints=SimulatedStore(process, process.checkpoints),
        connectors=process.world.connectors(process),
        on_step=on_step,
    )
