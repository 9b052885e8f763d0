"""What simulated processes need of the world around them; `rayflow.testing.simulation` is such a world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.connectors.base import Publisher, Reader
from rayflow.core.ids import TaskId, TopicPartition, WorkerId
from rayflow.state.base import Store

MILLISECOND = 1000
"""The schedule counts in microseconds."""


class Surroundings(Protocol):
    """Time, chance, transport and the systems outside, for the processes of one attempt (an incarnation)."""

    random: Random

    @property
    def checkpoints(self) -> CheckpointStore:
        """The store of processes that start now. For reading, at once. Writing takes time: see `put` and `create`."""

    def clock(self) -> int:
        """The wall clock, ms since the Unix epoch."""

    def after(self, delay: int, call: Callable[[], None]) -> None:
        """Have `call` called `delay` microseconds from now."""

    def survives(self, process: Any, step: str) -> bool:
        """Called before each step of a process: False if it crashes here, or freezes until the world calls `thaw`."""

    def stepped(self, process: Any) -> None:
        """Called after each step, to check invariants."""

    def failed(self, process: Any, error: Exception) -> None:
        """An error has ended the process."""

    def note(self, who: str, what: str) -> None:
        """Tell the trace."""

    def send(self, sender: Any, slot: WorkerId | None, letter: Any) -> None:
        """Have `deliver` of a worker, or of the coordinator (None), called some time later: in order per pair of
        processes, perhaps more than once."""

    def workers(self, coordinator: Any, slots: Sequence[WorkerId]) -> None:
        """Start a worker process for each of these slots."""

    def finished(self, coordinator: Any, restart: bool) -> None:
        """The attempt has come to its end as it should."""

    def committed(self, process: Any, manifest: Manifest) -> None:
        """A manifest has been written: look whether it is right."""

    def partitions(self) -> dict[str, int]:
        """The number of partitions of each source."""

    def publisher(self, process: Any, slot: WorkerId) -> Publisher:
        """A process's new publisher of a slot. What would take time raises BrokerUnavailable instead of blocking."""

    def reader(self) -> Reader:
        """A new reader."""

    def ends(self, process: Any) -> dict[TopicPartition, int] | None:
        """Where the sources end, once nothing more will come and the run is to be drained; else None."""

    def state(self, process: Any, task: TaskId) -> Store:
        """The local store of a task on the machine of a worker process."""

    def put(self, process: Any, name: str, parts: Sequence[bytes], then: Callable[[], None]) -> None:
        """Write an object in the background; `then` is a step of the process when it is durable, an error ends it."""

    def create(self, process: Any, name: str, data: bytes, then: Callable[[bool], None]) -> None:
        """As `put`, create-if-absent; `then` is told whether it was created."""

    def delete(self, process: Any, names: Sequence[str]) -> None:
        """Delete objects in the background, one after the other, while the process lives."""
