"""What coordinator and workers of the simulated runtime say to each other besides the engine's own events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.ids import Attempt, Epoch, Marker, SinkTask, TaskId, WorkerId
from rayflow.engine.events import ChannelEvent
from rayflow.engine.orders import StartTasks


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a link carries. `number` rises by one on each link, so that what a link repeats is known."""

    sender: str
    number: int
    attempt: Attempt
    body: object


@dataclass(frozen=True, slots=True)
class Fence:
    """Open the publisher of a slot: no earlier one can publish from then on."""

    slot: WorkerId


@dataclass(frozen=True, slots=True)
class SlotFenced:
    """The answer."""

    slot: WorkerId


@dataclass(frozen=True, slots=True)
class ReadMarkers:
    """Read the markers."""

    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class MarkersRead:
    """The answer."""

    markers: Mapping[SinkTask, Marker | None]


@dataclass(frozen=True, slots=True)
class Republish:
    """Publish what these sinks staged for the manifest's epoch, as the slot that staged it."""

    slot: WorkerId
    manifest: Manifest
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class Republished:
    """The answer."""

    slot: WorkerId


@dataclass(frozen=True, slots=True)
class Start:
    """Start the tasks that are placed on the worker."""

    order: StartTasks
    placement: Mapping[TaskId, WorkerId]


@dataclass(frozen=True, slots=True)
class Started:
    """The answer."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Frame:
    """Channels' events for tasks of the worker, in order."""

    events: tuple[ChannelEvent, ...]


@dataclass(frozen=True, slots=True)
class Busy:
    """Records or timers have been processed since the barrier before `epoch`."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A worker has read everything there is."""

    worker: WorkerId
