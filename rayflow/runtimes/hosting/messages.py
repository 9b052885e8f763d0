"""Messages between the coordinator and the workers of an attempt, besides the engine's own events and orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rayflow.core.errors import RayflowError
from rayflow.core.ids import Attempt, Epoch, Marker, SinkTask, TaskId, WorkerId
from rayflow.engine.orders import StartTasks

Ends: TypeAlias = dict[tuple[str, int], int]
"""The ends of a bounded run, by source and partition."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for a worker of one attempt, from the coordinator or from its links."""

    attempt: Attempt
    body: object


# From the coordinator


@dataclass(frozen=True, slots=True)
class Fence:
    """Open the publishers of a slot, which fences all earlier ones."""

    slot: WorkerId
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class ReadMarkers:
    """Read the markers without fencing any publisher."""

    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class Republish:
    """Publish the staged output of these sinks for the checkpoint of `epoch`, as the slot that staged it.

    Its manifest is in the store: the coordinator could not send a copy to every worker.
    """

    slot: WorkerId
    epoch: Epoch
    sources: Mapping[str, int]
    sinks: Sequence[SinkTask]


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until readers see the published output."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the tasks that are placed on the worker.

    The message is small, because there is one for each worker. `order` has no manifest; it is that of epoch
    `checkpoint` in the store, if there is one. `places`: the worker of each partition, by stage. `progress`: of the
    worker's own tasks. `ends`: the ends that earlier attempts of a bounded run have fixed.
    """

    order: StartTasks
    checkpoint: Epoch | None
    places: Mapping[str, Sequence[WorkerId]]
    progress: Mapping[TaskId, Mapping[str, Any]]
    ends: Ends
    systems: Mapping[str, str]

    @property
    def placement(self) -> dict[TaskId, WorkerId]:
        """The worker of every task."""
        return {TaskId(stage, p): worker for stage, workers in self.places.items() for p, worker in enumerate(workers)}


@dataclass(frozen=True, slots=True)
class QueryRows:
    """Read rows of an operator's table in all tasks of its stage, as of the last completed epoch. `keys`: encoded."""

    number: int
    stage: str
    operator: str
    table: str
    keys: Sequence[bytes]


# From a worker


@dataclass(frozen=True, slots=True)
class SlotFenced:
    """The slot's publishers are open. `markers`: their values at that time."""

    slot: WorkerId
    markers: Mapping[SinkTask, Marker | None]


@dataclass(frozen=True, slots=True)
class MarkersRead:
    """The current markers."""

    markers: Mapping[SinkTask, Marker | None]


@dataclass(frozen=True, slots=True)
class Republished:
    """The slot's part of the last epoch is visible."""

    slot: WorkerId


@dataclass(frozen=True, slots=True)
class Started:
    """All tasks of the worker are restored and read; in a bounded run up to `ends`."""

    worker: WorkerId
    ends: Ends


@dataclass(frozen=True, slots=True)
class Settled:
    """Readers see the published output."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Busy:
    """Records or timers have been processed since the barrier before `epoch`."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The worker has read everything up to the ends that were fixed at the start."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker's part of this attempt has failed."""

    worker: WorkerId
    error: Exception


@dataclass(frozen=True, slots=True)
class RowsFound:
    """The answer to QueryRows of that number: the encoded values that are there, by the key's place, or an error."""

    worker: WorkerId
    number: int
    found: Mapping[int, bytes]
    error: RayflowError | None


# From a worker's links


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The connection to another worker of the attempt has ended."""

    slot: WorkerId
