"""Incarnations: the processes of one attempt, what becomes of them, and when the next attempt begins."""

from __future__ import annotations

from rayflow.core.ids import WorkerId
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.testing.simulation.disk import ModelDisk
from rayflow.testing.simulation.store import ModelStore


class Incarnation:
    """One coordinator and its workers.

    Attributes:
        store: its checkpoint store.
        over: whether another one takes or took its place; those of its processes that live are zombies.
        machines: which machine each worker runs on.
    """

    def __init__(self, number: int, store: ModelStore) -> None:
        self.number = number
        self.store = store
        self.over = False
        self.coordinator: CoordinatorProcess | None = None
        self.workers: dict[WorkerId, WorkerProcess] = {}
        self.machines: dict[WorkerId, int] = {}

    def at(self, slot: WorkerId | None) -> Process | None:
        """The worker of a slot, or the coordinator (None)."""
        return self.coordinator if slot is None else self.workers.get(slot)

    @property
    def processes(self) -> list[Process]:
        """Those that live."""
        every: list[Process | None] = [self.coordinator, *self.workers.values()]
        return [process for process in every if process is not None and process.alive]


class Machines:
    """As many machines as are needed. A worker process goes where its slot was last, unless a zombie is there."""

    def __init__(self) -> None:
        self.disks: list[ModelDisk] = []
        self._users: list[Process | None] = []

    def take(self, slot: WorkerId, process: Process) -> int:
        """A machine on which nobody runs."""
        preferred: list[int] = [slot, *range(len(self._users))]
        for machine in preferred:
            while machine >= len(self._users):
                self._users.append(None)
                self.disks.append(ModelDisk())
            user = self._users[machine]
            if user is None or not user.alive:
                self._users[machine] = process
                return machine
        self._users.append(process)
        self.disks.append(ModelDisk())
        return len(self._users) - 1

    def used(self) -> set[int]:
        """The machines on which somebody runs."""
        return {machine for machine, user in enumerate(self._users) if user is not None and user.alive}
