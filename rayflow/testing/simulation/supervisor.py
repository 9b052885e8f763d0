"""Incarnations: the processes of one attempt, what becomes of them, and when the next attempt begins."""

from __future__ import annotations

from rayflow.core.ids import WorkerId
from rayflow.runtimes.hosting.options import RunOptions
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
        over: whether another one takes or took its place; those of its processes that live are zombies.
        machines: which machine each worker runs on. options: of its attempt.
    """

    def __init__(self, number: int, store: ModelStore) -> None:
        self.number = number
        self.store = store
        self.over = False
        self.coordinator: CoordinatorProcess | None = None
        self.workers: dict[WorkerId, WorkerProcess] = {}
        self.machines: dict[WorkerId, int] = {}
        self.options = RunOptions()

    def deliver(self, slot: WorkerId | None, parcel: Letter | bytes, sent_in: int) -> bool:
        """Give a parcel to the worker of a slot, or to the coordinator (None). False if it does not live.

        A coordinator's letters, sent in incarnation `sent_in`, reach no worker that was started later.
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
        """Whether its workers can go on in another incarnation: both are of one submission, with its options."""
        return self.store is other.store and self.options.until_end == other.options.until_end

    def adopt(self, worker: WorkerProcess, before: Incarnation) -> None:
        """A worker of an earlier incarnation goes on in this one."""
        self.workers[worker.slot] = before.workers.pop(worker.slot)
        self.machines[worker.slot] = before.machines[worker.slot]
        worker.incarnation = self.number

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
