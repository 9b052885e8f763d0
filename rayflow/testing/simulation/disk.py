"""A model machine: the local state of tasks, which outlives processes but not a reboot."""

from __future__ import annotations

from random import Random

from rayflow.core.ids import TaskId
from rayflow.state.base import Delta
from rayflow.state.memory_store import MemoryStore


class ModelDisk:
    """The stores of one machine, in the state in which the last process on it left them.

    Like a state directory, each store records the boot of the machine in which it was written, and is empty in another
    boot: nothing was synced, so after a reboot its contents may be anything.

    >>> disk = ModelDisk()
    >>> disk.store(TaskId("a", 0)) is disk.store(TaskId("a", 0))
    True
    """

    def __init__(self) -> None:
        self._boot = 0
        self._stores: dict[TaskId, tuple[int, MemoryStore]] = {}

    def store(self, task: TaskId) -> MemoryStore:
        """The store of a task, in its last state, or empty."""
        boot, store = self._stores.get(task, (None, None))
        if store is None or not self._trusts(boot):
            store = MemoryStore()
            self._stores[task] = (self._boot, store)
        return store

    def lose(self) -> None:
        """Lose all stores."""
        self._stores.clear()

    def reboot(self, random: Random) -> None:
        """Reboot the machine: some rows never reached the disk, whatever the stamp says."""
        self._boot += 1
        for _, store in self._stores.values():
            if store.stamp is not None:
                keys = [key for run, _ in store.rows() for key in run]
                lost = [key for key in keys if random.random() < 0.5]
                store.apply(Delta(lost, [None] * len(lost)), store.stamp)

    def _trusts(self, boot: int | None) -> bool:
        return boot == self._boot
