"""The epochs of a running attempt: barrier, acks, manifest, publication. One epoch at a time, until the last."""

from __future__ import annotations

from dataclasses import dataclass, field

from rayflow.checkpoint.bases import BaseRef
from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import Fenced, InvariantBroken
from rayflow.core.ids import Attempt, Epoch, TaskId, WorkerId
from rayflow.engine.barrier_schedule import BarrierSchedule
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.entries import sink_entries, state_entries
from rayflow.engine.events import (
    BaseWritten,
    EpochDone,
    EpochEvent,
    ManifestConflict,
    ManifestWritten,
    PublishedRecorded,
    SegmentAcked,
)
from rayflow.engine.orders import (
    CollectGarbage,
    CommitEpoch,
    FinishAttempt,
    InjectBarrier,
    Order,
    RecordPublished,
    WriteBase,
    WriteManifest,
)
from rayflow.engine.phase import Phase
from rayflow.engine.startup import StartingPoint
from rayflow.plan.fingerprint import fingerprint
from rayflow.plan.physical import JobPlan


@dataclass(slots=True)
class PendingCheckpoint:
    """An epoch between its barrier and its end. `manifest`: set when all workers have acked. `done`: the workers that
    have applied and published it."""

    acks: dict[WorkerId, SegmentAcked] = field(default_factory=dict)
    manifest: Manifest | None = None
    done: set[WorkerId] = field(default_factory=set)


class Epochs:
    """Runs the epochs of a running attempt.

    Attributes:
        epoch: the last epoch whose barrier was sent.
        final: the attempt's last epoch, once its barrier was sent.
    """

    def __init__(
        self,
        plan: JobPlan,
        options: CoordinatorOptions,
        attempt: Attempt,
        point: StartingPoint,
        barriers: BarrierSchedule,
    ) -> None:
        self.phase = Phase.RUNNING
        self.epoch = point.epoch
        self.final: Epoch | None = None
        self._plan = plan
        self._options = options
        self._attempt = attempt
        self._lineage = point.lineage
        self._topology = point.topology
        self._manifest = point.manifest
        self._history = point.history
        self._barriers = barriers
        self._pending: PendingCheckpoint | None = None
        self._bases_in_flight: set[TaskId] = set()

    def begin(self) -> list[Order]:
        """Begin: all tasks are running."""
        bases = [WriteBase(task, self.epoch) for task in sorted(self._history.owed)]
        return [*bases, *self._tick_if_requested()]

    def handle(self, event: EpochEvent) -> list[Order]:
        """Handle one event. Raises Fenced if a newer attempt has committed the epoch."""
        match event:
            case SegmentAcked():
                return self._on_ack(event)
            case ManifestWritten():
                self._expect(event.epoch)
                return [CommitEpoch(event.epoch)]
            case ManifestConflict():
                return self._on_conflict(event)
            case EpochDone():
                return self._on_done(event)
            case PublishedRecorded():
                return [self._finish(Phase.CLOSING)]
            case BaseWritten():
                self._bases_in_flight.discard(event.task)
                self._history.on_base(event.task, BaseRef(event.epoch, event.parts, event.size), self.epoch)
                return self._tick_if_requested()

    def tick(self, changed: bool) -> list[Order]:
        """Send the next barrier if it is due. `changed`: whether a worker has processed anything since the last
        barrier."""
        if self.phase is not Phase.RUNNING or self._pending is not None or self._history.owed:
            return []
        staged = self._manifest is not None and bool(self._manifest.outputs)  # the next manifest marks it as published
        if not self._barriers.due(changed or staged):
            return []
        self._barriers.sent()
        self._pending = PendingCheckpoint()
        self.epoch += 1
        if self._barriers.ending is not None:
            self.final = self.epoch
        return [InjectBarrier(self.epoch, self._barriers.ending == "drain")]

    def _tick_if_requested(self) -> list[Order]:
        return self.tick(True) if self._barriers.requested else []

    def _on_ack(self, event: SegmentAcked) -> list[Order]:
        pending = self._expect(event.epoch)
        pending.acks[event.worker] = event
        if len(pending.acks) < len(self._options.workers):
            return []
        acks = [pending.acks[worker] for worker in sorted(pending.acks)]
        sizes = {task: size for ack in acks for task, size in ack.delta_bytes.items()}
        self._history.on_epoch(event.epoch, tuple(ack.name for ack in acks), sizes)
        pending.manifest = Manifest(
            job=self._plan.name,
            lineage=self._lineage,
            epoch=self.epoch,
            attempt=self._attempt,
            created=self._barriers.now,
            plan=fingerprint(self._plan),
            states=state_entries(self._plan),
            stages=dict(self._topology.stages),
            source_partitions=dict(self._topology.sources),
            workers=self._options.workers,
            delivery=self._plan.delivery,
            segments=dict(self._history.segments),
            outputs=tuple(ack.output for ack in acks if ack.output is not None),
            bases=self._history.bases,
            sinks=sink_entries(self._plan, self._topology),
            systems=dict(self._options.systems),
            published=self.epoch - (self._plan.delivery == "exactly_once"),
            bytes=sum(ack.size for ack in acks),
            restored_from=None if self._manifest is None else self._manifest.restored_from,
        )
        return [WriteManifest(pending.manifest)]

    def _on_conflict(self, event: ManifestConflict) -> list[Order]:
        """An older attempt may still commit the epoch that it had in flight when it was fenced: go on from there."""
        if event.attempt > self._attempt:
            raise Fenced(
                f"another process has committed epoch {event.epoch} (this one is attempt {self._attempt})",
                job=self._plan.name,
            )
        self._pending = None
        self.phase = Phase.FINISHED
        return [FinishAttempt("restart")]

    def _on_done(self, event: EpochDone) -> list[Order]:
        pending = self._expect(event.epoch)
        pending.done.add(event.worker)
        if len(pending.done) < len(self._options.workers):
            return []
        manifest = self._manifest = pending.manifest
        assert manifest is not None
        self._pending = None
        orders: list[Order] = [CollectGarbage()]
        if self.final == self.epoch:
            if manifest.published < self.epoch:
                self._enter(Phase.RUNNING, Phase.CLOSING)
                return [RecordPublished(self._lineage, self.epoch), *orders]
            return [*orders, self._finish(Phase.RUNNING)]
        tasks = self._history.wants_bases(self.epoch, self._bases_in_flight)
        self._bases_in_flight.update(tasks)
        orders += [WriteBase(task, self.epoch) for task in tasks]
        return [*orders, *self._tick_if_requested()]

    def _finish(self, expected: Phase) -> FinishAttempt:
        self._enter(expected, Phase.FINISHED)
        assert self._barriers.ending is not None
        return FinishAttempt(self._barriers.ending)

    def _enter(self, expected: Phase, phase: Phase) -> None:
        if self.phase is not expected:
            raise InvariantBroken(f"the attempt is {self.phase.value}, not {expected.value}", job=self._plan.name)
        self.phase = phase

    def _expect(self, epoch: Epoch) -> PendingCheckpoint:
        if self._pending is None or epoch != self.epoch:
            raise InvariantBroken(f"epoch {epoch} was reported while epoch {self.epoch} is open", job=self._plan.name)
        return self._pending

    def validate(self) -> None:
        """Raises InvariantBroken for an invalid state."""
        if self._pending is not None:
            if self.phase is not Phase.RUNNING:
                raise InvariantBroken("an epoch is in flight outside of a running attempt")
            if self._history.owed:
                raise InvariantBroken("an epoch is in flight before every regrouped task has its base")
            if self._pending.done and len(self._pending.acks) < len(self._options.workers):
                raise InvariantBroken(f"epoch {self.epoch} is done at a worker before it was committed")
        manifest = self._manifest
        if manifest is not None and self.epoch not in (manifest.epoch, manifest.epoch + 1):
            raise InvariantBroken(f"epoch {self.epoch} does not follow the manifest of epoch {manifest.epoch}")
