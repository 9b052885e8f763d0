"""Deliberate faults in the protocol, each a small patch of the code that runs in a simulation.

`found_in` is the number of seeds, from 0, within which the simulation must find the mutant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rayflow.checkpoint.sealed import TaskSealed
from rayflow.core.ids import SinkTask
from rayflow.engine import coordinator as coordinator_module
from rayflow.engine.actions import EpochSealed
from rayflow.engine.alignment import Alignment
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.event_time import EventTime
from rayflow.engine.events import ManifestWritten
from rayflow.engine.orders import CommitEpoch
from rayflow.engine.phase import Phase
from rayflow.engine.recovery import LostMarker
from rayflow.engine.task import Task
from rayflow.operators.timers import Timers
from rayflow.runtimes.simulated import coordinator as coordinator_process
from rayflow.runtimes.simulated import worker as worker_process
from rayflow.runtimes.simulated.process import Process
from rayflow.state.sealed_store import SealedStore
from rayflow.state.timer_table import TimerTable
from rayflow.testing.simulation.appender import ModelAppender
from rayflow.testing.simulation.disk import ModelDisk
from rayflow.testing.simulation.faults import Faults
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.publisher import ModelPublisher
from rayflow.testing.simulation.store import ModelStore

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutant:
    """One way to break the protocol. `shape` and `faults`, instead of drawn ones, lead to where it shows."""

    name: str
    apply: Callable[[Patch], None]
    found_in: int
    shape: Shape | None = None
    faults: Faults | None = None


def publish_before_the_manifest(patch: Patch) -> None:
    on_ack, handle = Coordinator._on_ack, Coordinator.handle

    def ack(self: Coordinator, event: Any) -> Any:
        orders = on_ack(self, event)
        return [*map(CommitEpoch, [event.epoch] if orders else []), *orders]

    def ignore(self: Coordinator, event: Any) -> Any:
        return [] if isinstance(event, ManifestWritten) else handle(self, event)

    patch.setattr(Coordinator, "_on_ack", ack)
    patch.setattr(Coordinator, "handle", ignore)


def marker_after_the_transaction(patch: Patch) -> None:
    mark, attempt = ModelPublisher._mark, ModelPublisher._attempt

    def later(self: Any, marker: Any, outputs: Any, positions: Any) -> Iterator[str]:
        known = yield from attempt(self, marker, outputs, positions)
        if known:
            yield "committing"
            transaction = self._kafka.begin(self._id, self._epoch, self._owner)
            mark(self, transaction, marker, list(outputs))
            self._kafka.commit_offsets(dict(transaction.offsets))
            self._kafka._open.pop(self._id, None)
        return known

    patch.setattr(ModelPublisher, "_mark", lambda *_: None)
    patch.setattr(ModelPublisher, "_attempt", later)


def no_fencing(patch: Patch) -> None:
    def keep_epoch(self: Any) -> None:
        self._epoch = self._kafka.epoch(self._id) if self._kafka.epoch(self._id) >= 0 else self._kafka.init(self._id)

    def open_publisher(self: Any, sinks: Sequence[SinkTask]) -> Any:
        keep_epoch(self)
        return self.markers(sinks)

    patch.setattr(ModelPublisher, "open", open_publisher)


def no_alignment(patch: Patch) -> None:
    patch.setattr(Alignment, "holds", lambda self, event: False)


def delta_applied_when_sealed(patch: Patch) -> None:
    seal = SealedStore.seal

    def early(self: Any, rows: Any) -> Any:
        delta = seal(self, rows)
        self.store.apply(delta, self.store.stamp)
        return delta

    patch.setattr(SealedStore, "seal", early)


def staged_output_dropped(patch: Patch) -> None:
    patch.setattr(coordinator_module, "unpublished", lambda *_: [])


def positions_after_the_barrier(patch: Patch) -> None:
    def write_segment(self: Any, action: Any) -> None:
        parts = []
        for part in action.parts:
            now = dict(self.worker.tasks[part.task]._positions)
            parts.append(TaskSealed(part.task, part.delta, part.staged, {**part.progress, "positions": now}))
        original(self, type(action)(action.epoch, tuple(parts)))

    original = worker_process.WorkerProcess._write_segment
    patch.setattr(worker_process.WorkerProcess, "_write_segment", write_segment)


def timers_not_in_the_checkpoint(patch: Patch) -> None:
    def nothing(self: Any, changed: Any) -> tuple[int, int]:
        return original(self, {})

    original = TimerTable.collect
    patch.setattr(TimerTable, "collect", nothing)


def positions_not_restored(patch: Patch) -> None:
    start = Task.start

    def forget(self: Task, progress: Any) -> Any:
        return start(self, None)

    patch.setattr(Task, "start", forget)


def event_time_not_restored(patch: Patch) -> None:
    seal = Task._done

    def earlier(self: Task) -> Any:
        actions = seal(self)
        for action in actions:
            if isinstance(action, EpochSealed):
                action.sealed.progress["newest"] = dict.fromkeys(action.sealed.progress["newest"], 10**9)  # type: ignore[index]
        return actions

    patch.setattr(Task, "_done", earlier)


def lost_marker_taken_as_unpublished(patch: Patch) -> None:
    unpublished = coordinator_module.unpublished
    patch.setattr(
        coordinator_module,
        "unpublished",
        lambda manifest, markers, _: unpublished(manifest, markers, LostMarker("republish", manifest.epoch)),
    )


def lost_marker_ignored(patch: Patch) -> None:
    unpublished = coordinator_module.unpublished
    patch.setattr(
        coordinator_module,
        "unpublished",
        lambda manifest, markers, _: unpublished(manifest, markers, LostMarker("skip", manifest.epoch)),
    )


def older_attempts_are_listened_to(patch: Patch) -> None:
    patch.setattr(Process, "takes", lambda self, attempt: self.attempt > 0)


def manifest_is_overwritten(patch: Patch) -> None:
    create = ModelStore.create_later

    def put(self: Any, process: Any, name: str, data: bytes, then: Any, fail: Any) -> None:
        if name.startswith("manifests/"):
            self.put_later(process, name, [data], lambda: then(True), fail)
        else:
            create(self, process, name, data, then, fail)

    patch.setattr(ModelStore, "create_later", put)


def manifest_not_read_again(patch: Patch) -> None:
    on_manifest = Coordinator._on_manifest

    def stale(self: Coordinator, manifest: Any) -> Any:
        again = self.phase is Phase.READING_AGAIN
        return on_manifest(self, self._manifest if again else manifest)

    patch.setattr(Coordinator, "_on_manifest", stale)


def republished_through_another_slot(patch: Patch) -> None:
    def through_the_first(world: Any, plan: Any, order: Any) -> Any:
        return {min(order.manifest.workers): list(order.sinks)}

    patch.setattr(coordinator_process, "staged_by", through_the_first)


def segment_acknowledged_before_it_is_durable(patch: Patch) -> None:
    def at_once(process: Any, puts: Any, then: Any, what: str) -> None:
        put_all(process, puts, lambda: None, what)
        process.act(what, then)

    put_all = worker_process.put_all
    patch.setattr(worker_process, "put_all", at_once)


def restored_store_is_not_brought_forward(patch: Patch) -> None:
    from rayflow.checkpoint import restore

    def trust(held: Any, chain: Any, task: Any) -> Any:
        return () if held is not None and held.lineage == chain.manifest.lineage else None

    patch.setattr(restore, "_epochs_to_apply", trust)


def channel_watermark_of_idle_forgotten(patch: Patch) -> None:
    patch.setattr(EventTime, "restore", lambda self, watermark, entries: None)


def manifest_created_anew_is_not_noticed(patch: Patch) -> None:
    newest = coordinator_process.newest_manifest

    def only_for_recovery(store: Any) -> Any:
        return None if sys._getframe(1).f_code.co_name == "then" else newest(store)

    patch.setattr(coordinator_process, "newest_manifest", only_for_recovery)


def repeated_messages_are_taken_again(patch: Patch) -> None:
    patch.setattr(Process, "repeats", lambda self, letter: False)


def store_trusted_after_a_reboot(patch: Patch) -> None:
    patch.setattr(ModelDisk, "_trusts", lambda self, boot: boot is not None)


def sinks_not_marked_before_their_first_epoch(patch: Patch) -> None:
    patch.setattr(coordinator_module, "unmarked", lambda lineage, sinks, markers: [])


def checkpoint_does_not_wait_for_the_flush(patch: Patch) -> None:
    patch.setattr(ModelAppender, "flush", lambda self: iter(()))


def nothing_is_deleted(patch: Patch) -> None:
    patch.setattr(coordinator_process, "collect", lambda store, keep: None)


def timers_fire_again(patch: Patch) -> None:
    def twice(self: Timers, upto: int) -> Iterator[tuple[int, Any]]:
        fired = list(fire(self, upto))
        for at, key in fired[:1]:
            self.table.add(at, key)
        yield from fired

    fire = Timers.fire
    patch.setattr(Timers, "fire", twice)


SMALL = Shape(
    partitions=1, stages=1, branches=("totals",), filtered=False, disorder=1, window=200, timer=1, interval=100
)
THREE_SINK_TASKS = replace(SMALL, partitions=3)
GROWING = replace(SMALL, branches=("pass",), grows=True)
SLOW_MANIFESTS = Faults(
    false_alarm=0.5, crash=0.002, target="manifest stored", target_crash=0.15, freeze=0.5, restart_time=10,
    zombie=1.0, zombie_time=4000, store_slow=0.2, delay=1,
)  # fmt: skip
LATE_MANIFESTS = replace(SLOW_MANIFESTS, long_delay=0.1)
ANSWERS_LOST = Faults(
    commit_answer_lost=0.9, false_alarm=0.1, target="PublishEpoch", target_crash=0.3, freeze=0.7, restart_time=100,
    zombie=1.0, zombie_time=4000, broker_away=0.8, away_time=4000, delay=5, scattered=0.5,
)  # fmt: skip
FROZEN_AT_MANIFESTS = Faults(
    target="WriteManifest", target_crash=0.1, freeze=1.0, restart_time=10, zombie=1.0, zombie_time=4000, delay=1
)
KILLED_BEFORE_PUBLISHING = Faults(grow=0.7, target="PublishEpoch", target_crash=0.3)
MARKERS_LOST = Faults(crash=0.001, target="PublishEpoch", target_crash=0.2, markers_expire=0.5)

AT_LEAST_ONCE = replace(SMALL, branches=("pass",), delivery="at_least_once")
KILLED_IN_OUTAGES = Faults(crash=0.003, false_alarm=0.5, broker_away=1.0, away_time=1000)

MUTANTS = [
    Mutant(
        "manifest created anew is not noticed", manifest_created_anew_is_not_noticed, 20, SMALL, FROZEN_AT_MANIFESTS
    ),
    Mutant("publish before the manifest", publish_before_the_manifest, 20),
    Mutant("marker after the transaction", marker_after_the_transaction, 20),
    Mutant("no fencing at open", no_fencing, 100),
    Mutant("no alignment", no_alignment, 40),
    Mutant("delta applied when sealed", delta_applied_when_sealed, 20),
    Mutant("staged output dropped at recovery", staged_output_dropped, 20),
    Mutant("positions taken after the barrier", positions_after_the_barrier, 40),
    Mutant("timers not in the checkpoint", timers_not_in_the_checkpoint, 20),
    Mutant("progress not restored", positions_not_restored, 20),
    Mutant("newest event time not in the checkpoint", event_time_not_restored, 20),
    Mutant("watermark not restored", channel_watermark_of_idle_forgotten, 60),
    Mutant("lost marker taken as unpublished", lost_marker_taken_as_unpublished, 20, SMALL, MARKERS_LOST),
    Mutant("lost marker ignored", lost_marker_ignored, 20, SMALL, MARKERS_LOST),
    Mutant("older attempts are listened to", older_attempts_are_listened_to, 20),
    Mutant("manifest overwritten", manifest_is_overwritten, 40, SMALL, SLOW_MANIFESTS),
    Mutant("manifest not read again after fencing", manifest_not_read_again, 60, SMALL, LATE_MANIFESTS),
    Mutant("republished through another slot", republished_through_another_slot, 60, THREE_SINK_TASKS, ANSWERS_LOST),
    Mutant("segment acknowledged before it is durable", segment_acknowledged_before_it_is_durable, 20),
    Mutant("restored store not brought forward", restored_store_is_not_brought_forward, 20),
    Mutant("repeated messages are taken again", repeated_messages_are_taken_again, 20),
    Mutant("store trusted after a reboot", store_trusted_after_a_reboot, 40),
    Mutant(
        "sinks not marked before their first epoch",
        sinks_not_marked_before_their_first_epoch,
        40,
        GROWING,
        KILLED_BEFORE_PUBLISHING,
    ),
    Mutant(
        "at least once: checkpoint does not wait for the flush",
        checkpoint_does_not_wait_for_the_flush,
        20,
        AT_LEAST_ONCE,
        KILLED_IN_OUTAGES,
    ),
    Mutant("nothing is deleted", nothing_is_deleted, 20),
    Mutant("timers fire again", timers_fire_again, 20),
]
