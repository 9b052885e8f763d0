"""The conditions that must hold at every step of a simulation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from rayflow.checkpoint.manifest import Manifest, manifest_epochs, newest_manifest, read_manifest
from rayflow.core.errors import ObjectMissing
from rayflow.core.ids import TaskId
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.segments import positions_of, read_progress
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.worker import WorkerProcess
from rayflow.testing.simulation.calm import Calm
from rayflow.testing.simulation.connector import Owner
from rayflow.testing.simulation.expecting import expect
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.idleness import LOOKS_WITHIN, Idle, Idleness
from rayflow.testing.simulation.inspection import check_checkpoint
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.kafka import MarkerSet, ModelKafka
from rayflow.testing.simulation.lateness import Lateness
from rayflow.testing.simulation.liveness import Liveness
from rayflow.testing.simulation.repeats import Repeats
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.timeline import Timeline

SETTLED = 5
"""The number of epochs after which an attempt must have deleted the leftovers of earlier ones."""


class Watch:
    """Checks processes after their steps, markers when they become visible, and checkpoints when they are complete.

    Every method raises AssertionError, or InvariantBroken.

    Attributes:
        always_reads: whether there is always enough memory, so that sources are never held.
    """

    def __init__(
        self,
        schedule: Schedule,
        plan: JobPlan,
        shape: Shape,
        kafka: ModelKafka,
        feeder: Feeder,
        repeats: Repeats,
        retain: int,
    ) -> None:
        self._schedule = schedule
        self._shape = shape
        self._feeder = feeder
        self._repeats = repeats
        self._retain = retain
        self._watermarks: dict[tuple[str, int, TaskId], int] = {}
        self._committed: dict[int, int] = {}
        self._idleness = Idleness(plan, shape, feeder)
        self._timeline = Timeline(plan, shape, feeder, self._idleness)
        self.lateness = Lateness(plan, shape, feeder, self._timeline)
        self._calm = Calm(schedule, kafka)
        self._liveness = Liveness(schedule, shape, kafka, feeder, self._timeline, self._calm)
        self._idle_at_last: Idle = {}
        self._last = 0
        self.always_reads: Callable[[], bool] = lambda: True

    def stepped(self, process: Process, *, current: bool) -> None:
        """Check the invariants of the state machines, that event time never goes back, and that the `current` attempt
        progresses."""
        process.validate()
        if isinstance(process, WorkerProcess) and process.worker is not None:
            self._idleness.look(process, process.world.clock())
            for id, task in process.worker.tasks.items():
                at, now = (process.name, process.attempt, id), task.time.watermark
                if now < self._watermarks.get(at, now):
                    raise AssertionError(f"the watermark of {id} went back")
                self._watermarks[at] = now
        elif isinstance(process, CoordinatorProcess) and process.began:
            self._calm.look()
            self._note_begin(process)
            if current:
                self._liveness.look(process)

    def marked(self, process: Owner, markers: list[MarkerSet]) -> None:
        """Check that only the newest checkpoint's epoch is published, and not by an attempt older than its own."""
        if not markers:
            return
        manifest = newest_manifest(process.checkpoints)
        for (_, operator, partition), epoch, text in markers:
            sink = f"{operator}/{partition}"
            assert manifest is not None, f"epoch {epoch} of {sink} was published before any checkpoint"
            lineage = json.loads(text)["lineage"]
            newest = (manifest.lineage, manifest.epoch)
            assert (lineage, epoch) == newest, f"epoch {epoch} of {sink} was published, but the newest is {newest}"
            assert process.attempt >= manifest.attempt, (
                f"attempt {process.attempt} published epoch {epoch} of {sink}, which attempt {manifest.attempt} made"
            )

    def committed(self, process: CoordinatorProcess, manifest: Manifest) -> None:
        """Check that it is the newest. Compare some with their input. A settled attempt keeps no more than
        configured."""
        newest = newest_manifest(process.checkpoints)
        assert newest is not None
        expect("the newest checkpoint", (newest.epoch, newest.attempt), (manifest.epoch, process.attempt))
        if not self._timeline.knows(manifest):
            self._take(process, manifest, read_progress(process.checkpoints, manifest))
        self._liveness.committed(process, manifest)
        epochs = self._committed[process.incarnation] = self._committed.get(process.incarnation, 0) + 1
        driver = process.driver
        if epochs >= SETTLED and driver is not None and not driver.collecting:  # with short epochs it catches up later
            kept = len(manifest_epochs(process.checkpoints))
            assert kept <= self._retain + 2, f"{kept} checkpoints are held, to keep {self._retain}"
        if self._schedule.random.random() < 0.2:
            stored = read_manifest(process.checkpoints, manifest.epoch)
            check_checkpoint(process.checkpoints, stored, self._shape, self._feeder, self.lateness)

    def finished(self, coordinator: CoordinatorProcess, workers: list[WorkerProcess]) -> None:
        """Check that nothing is in flight in an attempt that has drained its sources."""
        if coordinator.ending != "drain":
            return
        for process in workers:
            assert process.worker is not None
            for id, task in process.worker.tasks.items():
                assert not task.alignment.held, f"{id} holds {task.alignment.held} events back for ever"
                # Wall-clock timers fire as long as the process lives.
                rows = 0 if "states" in self._shape.branches else task.state.pending_rows
                assert not rows, f"{id} has {rows} rows that belong to no epoch"

    def _note_begin(self, process: CoordinatorProcess) -> None:
        if process.incarnation in self._repeats.begun:
            return
        manifest = process.began_with
        try:
            progress = {} if manifest is None else read_progress(process.checkpoints, manifest)
        except ObjectMissing:  # a zombie's, which retention has deleted: it cannot start any more
            progress = {}
        self._repeats.begun[process.incarnation] = positions_of(progress)
        if progress and manifest is not None and not self._timeline.knows(manifest):
            self._take(process, manifest, progress)  # its coordinator never learned about the commit

    def _take(self, process: CoordinatorProcess, manifest: Manifest, progress: Mapping[TaskId, dict[str, Any]]) -> None:
        """Note that the job has another checkpoint."""
        listened = self.always_reads() and self._calm.since <= self._last - (self._shape.idle + LOOKS_WITHIN) * 1000
        self._timeline.add(process.checkpoints.uri, manifest, progress, self._idle_at_last if listened else {})
        self._idle_at_last = self._idleness.sure(self._timeline.last.attempt, process.world.clock())
        self._last = self._schedule.now
