"""Incarnations: the processes of one attempt, their ends, and the start of the next attempt."""

from __future__ import annotations

from collections import deque

from rayflow.core.ids import WorkerId
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.queries import Query
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.runtimes.simulated.letters import Letter
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.testing.simulation.disk import ModelDisk
from rayflow.testing.simulation.store import ModelStore


class Incarnation:
    """One coordinator and its workers.

    Attributes:
        store: its checkpoint store.
        over: whether another one has replaced it, or will; its living processes are zombies.
        machines: the machine of each worker.
        options: of its attempt.
        queries: not answered yet; of its coordinator and of those that follow it in the same process.
    """

    def __init__(self, number: int, store: ModelStore) -> None:
        self.number = number
        self.store = store
        self.over = False
        self.coordinator: CoordinatorProcess | None = None
        self.workers: dict[WorkerId, WorkerProcess] = {}
        self.machines: dict[WorkerId, int] = {}
        self.options = RunOptions()
        self.queries: deque[Query] = deque()

    def deliver(self, slot: WorkerId | None, parcel: Letter | bytes, sent_in: int) -> bool:
        """Deliver a parcel to the worker of a slot, or to the coordinator (None). False if that process is dead.

        A coordinator's letters, sent in incarnation `sent_in`, do not reach workers that were started later.
        """
        if slot is not None:
            worker = self.workers.get(slot)
            if worker is not None and worker.alive and (isinstance(parcel, bytes) or worker.started_in <= sent_in):
                worker.deliver(parcel)
                return True
        elif self.coordinator is not None and self.coordinator.alive and isinstance(parcel, Letter):
            self.coordinator.deliver(parcel)
            return True
        return False

    def hosts_alike(self, other: Incarnation) -> bool:
        """Whether its workers can continue in another incarnation: both belong to one submission, with the same
        options."""
        return self.store is other.store and self.options.until_end == other.options.until_end

    def adopt(self, worker: WorkerProcess, before: Incarnation) -> None:
        """Let a worker of an earlier incarnation continue in this one."""
        self.workers[worker.slot] = before.workers.pop(worker.slot)
        self.machines[worker.slot] = before.machines[worker.slot]
        worker.incarnation = self.number

    @property
    def processes(self) -> list[Process]:
        """The living processes."""
        every: list[Process | None] = [self.coordinator, *self.workers.values()]
        return [process for process in every if process is not None and process.alive]


class Machines:
    """As many machines as needed. A worker process uses the last machine of its slot, unless a zombie is there."""

    def __init__(self) -> None:
        self.disks: list[ModelDisk] = []
        self._users: list[Process | None] = []

    def take(self, slot: WorkerId, process: Process) -> int:
        """A machine without processes."""
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
        """The machines with processes."""
        return {machine for machine, user in enumerate(self._users) if user is not None and user.alive}
