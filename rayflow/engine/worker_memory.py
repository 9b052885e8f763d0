"""The memory that a worker's epochs use: when to hold the sources, and when to request a barrier early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import TaskId, WorkerId
from rayflow.engine.actions import HoldSources, ReleaseSources, RequestBarrier, WorkerAction
from rayflow.engine.task import Task


class WorkerMemory:
    """Counts the bytes of the open epoch. A barrier or a watermark reaches thousands of tasks, so each `look` checks
    only the tasks whose size may have changed since the last one."""

    def __init__(self, tasks: Mapping[TaskId, Task], limit: int) -> None:
        """`limit` in bytes, for the open epoch and the one in flight together."""
        self._tasks = tasks
        self._limit = limit
        self._sizes = dict.fromkeys(tasks, 0)
        self._open_bytes = 0
        self._touched: set[TaskId] = set()
        self._held = False
        self._requested = False

    def touched(self, tasks: Iterable[TaskId]) -> None:
        """Note that the size of these tasks may have changed."""
        self._touched.update(tasks)

    def epoch_ended(self) -> None:
        """Note that no epoch is in flight any more, so another barrier may be requested."""
        self._requested = False

    def look(self, in_flight: int | None) -> list[WorkerAction]:
        """The actions that memory use requires. `in_flight`: bytes of the epoch in flight, None when there is none."""
        for task in self._touched:
            size = self._tasks[task].pending_bytes
            self._open_bytes += size - self._sizes[task]
            self._sizes[task] = size
        self._touched.clear()
        actions: list[WorkerAction] = []
        full = self._open_bytes + (in_flight or 0) > self._limit
        if full != self._held:  # also without an epoch in flight: the barrier may have to wait for a base
            self._held = full
            actions.append(HoldSources() if full else ReleaseSources())
        if self._open_bytes > self._limit // 2 and in_flight is None and not self._requested:
            self._requested = True
            actions.append(RequestBarrier())  # last: the barrier may arrive before this call returns
        return actions

    def validate(self, worker: WorkerId) -> None:
        """Raises InvariantBroken if the tasks use more than was counted."""
        if not self._touched and self._open_bytes < sum(task.pending_bytes for task in self._tasks.values()):
            raise InvariantBroken(f"worker {worker} holds more in memory than it has counted")
