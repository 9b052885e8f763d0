"""The start of an attempt: takes over from the one before, publishes what that one staged, and starts the tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from rayflow.core.ids import Marker, SinkTask, TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.engine.events import CoordinatorEvent, MarkersSeen, OutputRepublished, PublishersOpened
from rayflow.engine.orders import LookAtMarkers, OpenPublishers, RepublishOutput, SetMarkers, StartTasks
from rayflow.engine.placement import place
from rayflow.engine.regrouping import TaskProgress
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.messages import (
    Ends,
    Fence,
    MarkersRead,
    ReadMarkers,
    Republish,
    Republished,
    SlotFenced,
    Start,
    Started,
)
from rayflow.runtimes.hosting.ports import Background, Ports
from rayflow.runtimes.hosting.segments import staged_by, starting_progress
from rayflow.runtimes.hosting.sinks import Sinks

log = get_logger("rayflow.coordinator")

TakeoverOrder: TypeAlias = LookAtMarkers | OpenPublishers | RepublishOutput | SetMarkers | StartTasks


class Takeover:
    """Carries out the coordinator's orders of a start. Each one begins when the workers have answered the one before.

    Attributes:
        placement: the worker of each task; empty until they are started. topology: None until then.
    """

    def __init__(
        self,
        plan: JobPlan,
        ports: Ports,
        workers: tuple[WorkerId, ...],
        background: Background,
        *,
        earlier: Mapping[TaskId, WorkerId],
        ends: Ends,
        systems: Mapping[str, str],
        send: Callable[[WorkerId, object], None],
        tell: Callable[[CoordinatorEvent], None],
    ) -> None:
        """`earlier`, `ends`, `send`: see CoordinatorDriver. `tell`: gives the coordinator an event."""
        self.placement: dict[TaskId, WorkerId] = {}
        self.topology: Topology | None = None
        self._plan = plan
        self._ports = ports
        self._workers = workers
        self._background = background
        self._earlier = earlier
        self._ends = ends
        self._systems = systems
        self._send = send
        self._tell = tell
        self._looking = False
        self._opening: OpenPublishers | None = None
        self._markers: dict[SinkTask, Marker | None] = {}
        self._waits: set[WorkerId] = set()

    def carry_out(self, order: TakeoverOrder) -> None:
        """Begin what the coordinator orders."""
        match order:
            case LookAtMarkers():
                self._looking = True
                self._send(order.slot, ReadMarkers(order.sinks))
            case OpenPublishers():
                self._open(order)
            case RepublishOutput():
                self._republish(order)
            case SetMarkers():
                self._send(self._workers[0], order)
            case StartTasks():
                self._start(order)

    def receive(self, answer: SlotFenced | MarkersRead | Republished) -> None:
        """Take a worker's answer, and tell the coordinator when the last one is there."""
        match answer:
            case SlotFenced(slot, markers):
                self._markers.update(markers)
                if self._answered(slot):
                    self._all_fenced()
            case MarkersRead(markers):
                self._tell(MarkersSeen(markers) if self._looking else PublishersOpened(markers))
            case Republished(slot):
                if self._answered(slot):
                    self._tell(OutputRepublished())

    def all_started(self, answer: Started) -> bool:
        """Take the answer of a worker whose tasks are started. True if it is the last one."""
        self._ends.update(answer.ends)
        return self._answered(answer.worker)

    def _answered(self, slot: WorkerId) -> bool:
        self._waits.discard(slot)
        return not self._waits

    def _holder(self, slot: WorkerId) -> WorkerId:
        """The worker that opens the publishers of a slot: its own, or for an unused slot one of the others, in turn."""
        return slot if slot in self._workers else self._workers[slot % len(self._workers)]

    def _open(self, order: OpenPublishers) -> None:
        self._looking = False
        self._opening = order
        self._markers = {}
        self._waits = set(order.slots)
        sinks = order.sinks if self._plan.delivery == "at_least_once" else ()
        for slot in order.slots:
            self._send(self._holder(slot), Fence(slot, sinks))

    def _all_fenced(self) -> None:
        """Read the markers. Not earlier: a slot that is not fenced could still change one."""
        assert self._opening is not None
        if self._plan.delivery == "exactly_once":
            self._send(self._workers[0], ReadMarkers(self._opening.sinks))
        else:
            self._tell(PublishersOpened(self._markers))

    def _republish(self, order: RepublishOutput) -> None:
        log.info("publishing output staged by the last run", job=self._plan.name, epoch=order.manifest.epoch)
        staged = staged_by(self._ports.checkpoints, self._plan, order, self._ports.together)
        self._waits = set(staged)
        for slot in sorted(staged):
            message = Republish(slot, order.manifest.epoch, order.topology.sources, staged[slot])
            self._send(self._holder(slot), message)

    def _start(self, order: StartTasks) -> None:
        self.topology = order.topology
        for topic in Sinks(self._plan, self._ports.connectors).create_topics(order.topology):
            log.info("created a topic", job=self._plan.name, topic=topic)
        self.placement = place(order.topology.tasks(), self._workers, self._earlier)
        self._waits = set(self._workers)
        # Each task's progress is in the segment of the worker that had it: read here once, not by every worker.
        read = partial(starting_progress, self._ports.checkpoints, self._plan, order, self._ports.together)
        self._background.call(read, partial(self._send_starts, order))

    def _send_starts(self, order: StartTasks, progress: TaskProgress) -> None:
        checkpoint = None if order.manifest is None else order.manifest.epoch
        places: dict[str, list[WorkerId]] = {stage: [] for stage in order.topology.stages}
        parts: dict[WorkerId, dict[TaskId, Mapping[str, Any]]] = {slot: {} for slot in self._workers}
        for task, slot in self.placement.items():
            places[task.stage].append(slot)
            if task in progress:
                parts[slot][task] = progress[task]
        order = replace(order, manifest=None)
        for slot, part in parts.items():
            self._send(slot, Start(order, checkpoint, places, part, self._ends, self._systems))
