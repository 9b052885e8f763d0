"""Processes that outlive their attempt: zombies, and workers that the next attempt may take over."""

from __future__ import annotations

from rayflow.core.ids import WorkerId
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.testing.simulation.supervisor import Incarnation
from rayflow.testing.simulation.world import World


class Leftovers:
    """Ends such processes after some time, or lets the next attempt take them over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[WorkerId, WorkerProcess] = {}

    def end_later(self, process: Process) -> None:
        """End a zombie after some time, unless it has become a worker of a new attempt by then."""
        number = process.incarnation

        def end() -> None:
            if process.incarnation == number:
                process.kill()

        world = self._world
        world.schedule.after(world.random.randrange(world.faults.zombie_time * 1000), end)

    def keep(self, process: WorkerProcess) -> None:
        """Let the next attempt take over a worker of the last one."""
        before = self._kept.get(process.slot)
        if before is not None and before is not process:
            before.kill()
        self._kept[process.slot] = process

    def take_over(self, slot: WorkerId, incarnation: Incarnation) -> bool:
        """Whether the worker of a slot was kept, and continues in `incarnation`. If it cannot, it ends."""
        kept = None if incarnation.over else self._kept.pop(slot, None)
        if kept is None:
            return False
        before = self._world.of(kept)
        if kept.alive and before.hosts_alike(incarnation):
            incarnation.adopt(kept, before)
            return True
        kept.kill()
        return False

    def let_go(self) -> None:
        """End every worker that was not taken over."""
        for process in self._kept.values():
            process.kill()
        self._kept.clear()
