"""How much memory a worker's epochs hold: when sources are held, and when a barrier is requested before its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import TaskId, WorkerId
from rayflow.engine.actions import HoldSources, ReleaseSources, RequestBarrier, WorkerAction
from rayflow.engine.task import Task


class WorkerMemory:
    """Counts the bytes of the open epoch. A barrier or a watermark reaches thousands of tasks: not all are asked, only
    those whose size may have changed since the last `look`.
    """

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
        """The size of these tasks may be another by now."""
        self._touched.update(tasks)

    def epoch_ended(self) -> None:
        """No epoch is in flight any more: another barrier may be asked for."""
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
        if full != self._held:  # without an epoch in flight too: the barrier may have to wait for a base
            self._held = full
            actions.append(HoldSources() if full else ReleaseSources())
        if self._open_bytes > self._limit // 2 and in_flight is None and not self._requested:
            self._requested = True
            actions.append(RequestBarrier())  # last: the barrier may be here before this returns
        return actions

    def validate(self, worker: WorkerId) -> None:
        """Raises InvariantBroken when the tasks hold more than was counted."""
        if not self._touched and self._open_bytes < sum(task.pending_bytes for task in self._tasks.values()):
            raise InvariantBroken(f"worker {worker} holds more in memory than it has counted")
