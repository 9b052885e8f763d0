"""Determines which source partitions tasks may have considered idle, and when, from the deliveries alone."""

from __future__ import annotations

from collections.abc import Mapping

from rayflow.core.ids import Epoch, TaskId
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.jobs import Shape

Idle = Mapping[TaskId, set[str]]
"""The sources, by task, whose partition the task considers idle."""
AttemptKey = tuple[str, int]
"""An attempt: its checkpoint store's URI, and its number there."""

LOOKS_WITHIN = 500
"""The maximum delay until a task notices that a partition is idle, ms."""


class Idleness:
    """Records when each source partition last delivered records to the task that reads it.

    A partition may be idle when nothing was delivered for `idle_after` of the wall clock, until something is delivered.
    Silence counts here whether or not the job listened. If the wall clock jumps ahead, a short silence counts as an
    hour.
    """

    def __init__(self, plan: JobPlan, shape: Shape, feeder: Feeder) -> None:
        self._after = shape.idle
        self._sources = {stage.id: [source.id for source in stage.sources] for stage in plan.stages}
        self._feeder = feeder
        self._heard: dict[tuple[AttemptKey, TaskId, str], tuple[int, int, Epoch]] = {}
        self._silent: set[tuple[AttemptKey, TaskId, str]] = set()
        self._undelivered: dict[tuple[AttemptKey, TaskId, str], int] = {}
        self._possible: dict[tuple[AttemptKey, TaskId, Epoch], set[str]] = {}

    def look(self, process: WorkerProcess, clock: int) -> None:
        """Called after each turn of a worker, at `clock` (ms of the wall clock)."""
        if not self._after or process.worker is None:
            return
        attempt = process.checkpoints.uri, process.attempt
        driver = process.host.driver
        listened = None if driver is None else driver.sources.listened
        for owner, source in () if listened is None else listened.undelivered:
            self._undelivered[attempt, owner, source] = clock
        for task in process.worker.tasks.values():
            for source in self._sources[task.id.stage]:
                if not self._feeder.has((source, task.id.partition)):
                    continue
                at = (attempt, task.id, source)
                position = task.positions.get(source, 0)
                before, heard, epoch = self._heard.setdefault(at, (position, clock, task.epoch))
                # One turn does several things: the partition may have been idle before this delivery.
                if clock - heard >= self._after or at in self._silent:
                    self._silent.add(at)
                    for possible in {epoch, task.epoch}:
                        self._possible.setdefault((attempt, task.id, possible), set()).add(source)
                if position != before and self._has_records(source, task.id.partition, before, position):
                    heard = clock
                    self._silent.discard(at)
                self._heard[at] = (position, heard, task.epoch)

    def possible(self, attempt: AttemptKey, task: TaskId, epoch: Epoch) -> set[str]:
        """The sources whose partition a task may have considered idle at some time in an epoch."""
        return self._possible.get((attempt, task, epoch), set())

    def sure(self, attempt: AttemptKey, clock: int) -> dict[TaskId, set[str]]:
        """The partitions that an attempt's tasks must consider idle by `clock`, if they listened all the time: nothing
        was delivered for long, and everything written was delivered. A full poll may have left records of any
        partition; a task that does not know the end then considers none idle."""
        found: dict[TaskId, set[str]] = {}
        for (whose, task, source), (position, heard, _) in self._heard.items():
            everything = len(self._feeder.entries[self._feeder.at((source, task.partition))])
            since = max(heard, self._undelivered.get((whose, task, source), heard))
            silent = clock - since >= self._after + LOOKS_WITHIN
            if whose == attempt and silent and position == everything:
                found.setdefault(task, set()).add(source)
        return found

    def _has_records(self, source: str, partition: int, begin: int, end: int) -> bool:
        entries = self._feeder.entries[self._feeder.at((source, partition))]
        return any(entry is not None for entry in entries[begin:end])
