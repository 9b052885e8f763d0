"""Which source partitions may have been taken for idle, and when: from what was delivered, not from what tasks say."""

from __future__ import annotations

from collections.abc import Mapping

from rayflow.core.ids import Epoch, TaskId
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.jobs import Shape

Idle = Mapping[TaskId, set[str]]
"""Sources, by task, whose partition the task takes for idle."""
AttemptKey = tuple[str, int]
"""An attempt: its checkpoint store's URI, and its number there."""

LOOKS_WITHIN = 500
"""By how much later than a partition became idle its task has seen it, ms."""


class Idleness:
    """Remembers when each source partition last delivered records to the task that reads it.

    A partition may be idle once nothing has been delivered for `idle_after` of the wall clock, and until something is.
    That is what tasks receive at present: silence counts whether or not anybody listened. A wall clock that jumps
    ahead makes silence of an hour.
    """

    def __init__(self, plan: JobPlan, shape: Shape, feeder: Feeder) -> None:
        self._after = shape.idle
        self._sources = {stage.id: [source.id for source in stage.sources] for stage in plan.stages}
        self._feeder = feeder
        self._heard: dict[tuple[AttemptKey, TaskId, str], tuple[int, int, Epoch]] = {}
        self._silent: set[tuple[AttemptKey, TaskId, str]] = set()
        self._possible: dict[tuple[AttemptKey, TaskId, Epoch], set[str]] = {}

    def look(self, process: WorkerProcess, clock: int) -> None:
        """After each turn of a worker, at `clock` (ms of the wall clock)."""
        if not self._after or process.worker is None:
            return
        attempt = process.checkpoints.uri, process.attempt
        for task in process.worker.tasks.values():
            for source in self._sources[task.id.stage]:
                if not self._feeder.has((source, task.id.partition)):
                    continue
                at = (attempt, task.id, source)
                position = task.positions.get(source, 0)
                before, heard, epoch = self._heard.setdefault(at, (position, clock, task.epoch))
                # A turn does several things: it may have been idle before what this one has delivered.
                if clock - heard >= self._after or at in self._silent:
                    self._silent.add(at)
                    for possible in {epoch, task.epoch}:
                        self._possible.setdefault((attempt, task.id, possible), set()).add(source)
                if position != before and self._has_records(source, task.id.partition, before, position):
                    heard = clock
                    self._silent.discard(at)
                self._heard[at] = (position, heard, task.epoch)

    def possible(self, attempt: AttemptKey, task: TaskId, epoch: Epoch) -> set[str]:
        """The sources whose partition a task may have taken for idle at some time of an epoch."""
        return self._possible.get((attempt, task, epoch), set())

    def sure(self, attempt: AttemptKey, clock: int) -> dict[TaskId, set[str]]:
        """What an attempt's tasks must have taken for idle by `clock`, if they listened all the time: nothing was
        delivered for long, and everything that was written has been."""
        found: dict[TaskId, set[str]] = {}
        for (whose, task, source), (position, heard, _) in self._heard.items():
            everything = len(self._feeder.entries[self._feeder.at((source, task.partition))])
            silent = clock - heard >= self._after + LOOKS_WITHIN
            if whose == attempt and silent and position == everything:
                found.setdefault(task, set()).add(source)
        return found

    def _has_records(self, source: str, partition: int, begin: int, end: int) -> bool:
        entries = self._feeder.entries[self._feeder.at((source, partition))]
        return any(entry is not None for entry in entries[begin:end])
