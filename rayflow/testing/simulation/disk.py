"""A model machine: the local state of tasks, which outlives processes."""

from __future__ import annotations

from rayflow.core.ids import TaskId
from rayflow.state.memory_store import MemoryStore


class ModelDisk:
    """The stores of one machine. They are what they were when the last process on it died.

    >>> disk = ModelDisk()
    >>> disk.store(TaskId("a", 0)) is disk.store(TaskId("a", 0))
    True
    """

    def __init__(self) -> None:
        self._stores: dict[TaskId, MemoryStore] = {}

    def store(self, task: TaskId) -> MemoryStore:
        """The store of a task: as it was left, or empty."""
        return self._stores.setdefault(task, MemoryStore())

    def lose(self) -> None:
        """Everything is gone."""
        self._stores.clear()
