"""Tracks the objects that the next manifest names, and decides when a task needs a new base."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from heapq import nlargest

from rayflow.checkpoint.bases import BaseRef
from rayflow.checkpoint.manifest import Manifest
from rayflow.core.ids import Epoch, TaskId

BASE_FLOOR = 8 << 20
"""With fewer bytes of deltas than this, their size is no reason for a base, however small the state is."""
MAX_CHAIN = 200
"""A base is written after this many epochs of deltas, however small they are."""


@dataclass(slots=True)
class _TaskHistory:
    """One task's chain: its base, and the deltas since then."""

    base: BaseRef | None = None
    first_delta: Epoch | None = None
    delta_bytes: int = 0


class History:
    """Segments and bases, from the oldest that a restore still needs to the newest.

    Attributes:
        segments: names of the segments, by epoch.
        owed: tasks that need a base before a manifest may be written.
    """

    def __init__(
        self,
        tasks: list[TaskId],
        manifest: Manifest | None,
        continued: Collection[TaskId] = (),
        regrouped: Collection[TaskId] = (),
    ) -> None:
        """Take over the objects that `manifest` names for the `continued` tasks. The size of their old deltas is
        unknown; they count as a reason for a base. Objects under the names of other tasks belong to other stages, so
        the tasks in `regrouped` owe a new base."""
        self.segments: dict[Epoch, tuple[str, ...]] = {}
        self.owed = set(regrouped)
        self._tasks = {task: _TaskHistory() for task in tasks}
        if manifest is not None:
            self.segments = {epoch: tuple(manifest.segments[epoch]) for epoch in sorted(manifest.segments)}
            epochs = list(self.segments)
            for task in continued:
                history = self._tasks[task]
                history.base = manifest.bases.get(task)
                since = history.base.epoch if history.base else 0
                later = bisect_right(epochs, since)
                history.first_delta = epochs[later] if later < len(epochs) else None

    @property
    def bases(self) -> dict[TaskId, BaseRef]:
        """The base of each task that has one."""
        return {task: history.base for task, history in self._tasks.items() if history.base is not None}

    def on_epoch(self, epoch: Epoch, names: tuple[str, ...], delta_bytes: Mapping[TaskId, int]) -> None:
        """An epoch's segments are durable. `delta_bytes`: bytes changed by each task."""
        self.segments[epoch] = names
        for task, size in delta_bytes.items():
            if size:
                history = self._tasks[task]
                history.delta_bytes += size
                if history.first_delta is None:
                    history.first_delta = epoch
        starts = [history.first_delta for history in self._tasks.values() if history.first_delta is not None]
        oldest = min([epoch, *starts])
        self.segments = {epoch: names for epoch, names in self.segments.items() if epoch >= oldest}

    def on_base(self, task: TaskId, base: BaseRef, epoch: Epoch) -> None:
        """A base is durable. `epoch` is the last one recorded. Deltas after the base remain in the chain."""
        self.owed.discard(task)
        history = self._tasks[task]
        history.base = base
        history.delta_bytes = 0
        history.first_delta = base.epoch + 1 if base.epoch < epoch else None

    def wants_bases(self, epoch: Epoch, in_flight: Collection[TaskId]) -> list[TaskId]:
        """The tasks whose bases must begin now: those whose deltas most outweigh their last base.

        Together with the bases `in_flight` there are only as many as needed for every task to get a base within
        MAX_CHAIN epochs. With one at a time, the chain, and so every manifest, would grow with the number of tasks.
        """
        room = -(-len(self._tasks) // MAX_CHAIN) - len(in_flight)
        if room <= 0:
            return []
        needs = ((self._need(history, epoch), task) for task, history in self._tasks.items() if task not in in_flight)
        return [task for _, task in nlargest(room, (need for need in needs if need[0] >= 1.0))]

    def _need(self, history: _TaskHistory, epoch: Epoch) -> float:
        """How urgently a task needs a base; from 1 on, it gets one."""
        if history.first_delta is None:
            return 0.0
        size = history.base.bytes if history.base else 0
        weight = history.delta_bytes / max(size, BASE_FLOOR)
        length = (epoch - history.first_delta + 1) / MAX_CHAIN
        return max(weight, length)
