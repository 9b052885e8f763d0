"""The progress that an attempt without faults must make, and when: checkpoints, and their publication."""

from __future__ import annotations

import json

from rayflow.checkpoint.manifest import Manifest
from rayflow.engine.phase import Phase
from rayflow.engine.recovery import sink_tasks_of
from rayflow.runtimes.simulated.coordinator import CoordinatorProcess
from rayflow.testing.simulation.calm import Calm
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.kafka import ModelKafka
from rayflow.testing.simulation.schedule import Schedule
from rayflow.testing.simulation.timeline import Timeline

MILLISECOND = 1000
COMMIT_WITHIN = 500 * MILLISECOND
"""Microseconds after the checkpoint interval within which existing records must be in a checkpoint."""
PUBLISH_WITHIN = 200 * MILLISECOND
"""Microseconds after the commit of an epoch within which its output must be published."""


class Liveness:
    """Watches the job's current attempt while no fault affects it. Every method raises AssertionError.

    Times are measured from the latest of: the start of the attempt, its last progress, and the last fault.
    """

    def __init__(
        self, schedule: Schedule, shape: Shape, kafka: ModelKafka, feeder: Feeder, timeline: Timeline, calm: Calm
    ) -> None:
        self._schedule = schedule
        self._shape = shape
        self._kafka = kafka
        self._feeder = feeder
        self._timeline = timeline
        self._calm = calm
        self._incarnation = 0
        self._progress = 0
        self._unpublished: Manifest | None = None
        self._committed = 0

    def look(self, coordinator: CoordinatorProcess) -> None:
        """Called after a step of the current attempt's coordinator."""
        driver = coordinator.driver
        if driver is None or driver.coordinator.phase is not Phase.RUNNING:
            return
        now = self._schedule.now
        if coordinator.incarnation != self._incarnation:
            self._incarnation = coordinator.incarnation
            self._progress = now
            self._unpublished = None
        waiting = self._waiting_since(coordinator)
        if waiting is not None:
            took = now - max(waiting, self._progress, self._calm.since) - self._shape.interval * MILLISECOND
            assert took <= COMMIT_WITHIN, (
                f"there are records since {(now - waiting) / 1e6:.3f} s, the last checkpoint is "
                f"{(now - self._progress) / 1e6:.3f} s old, and nothing is wrong"
            )
        if self._unpublished is not None and self._published(self._unpublished):
            self._unpublished = None
        if self._unpublished is not None:
            took = now - max(self._committed, self._calm.since)
            assert took <= PUBLISH_WITHIN, (
                f"epoch {self._unpublished.epoch} was committed {(now - self._committed) / 1e6:.3f} s ago and is not "
                "published, and nothing is wrong"
            )

    def committed(self, coordinator: CoordinatorProcess, manifest: Manifest) -> None:
        """Note that an epoch is committed."""
        if coordinator.incarnation == self._incarnation:
            self._progress = self._committed = self._schedule.now
            if self._shape.delivery == "exactly_once":
                self._unpublished = manifest

    def _waiting_since(self, coordinator: CoordinatorProcess) -> int | None:
        """Since when the partitions of an attempt have had a record that is in no checkpoint."""
        found: list[int] = []
        for place, written in zip(self._feeder.places, self._feeder.written, strict=True):
            position = self._timeline.last.positions.get(place, 0)
            if place.partition < coordinator.sources[place.topic] and position < len(written):
                found.append(written[position])
        return min(found, default=None)

    def _published(self, manifest: Manifest) -> bool:
        group = f"{manifest.job}-markers"
        marker = {"lineage": manifest.lineage, "epoch": manifest.epoch}
        offsets = self._kafka.offsets
        held = [offsets.get((group, sink.operator, sink.partition)) for sink in sink_tasks_of(manifest)]
        return all(offset is not None and json.loads(offset[1]) == marker for offset in held)
