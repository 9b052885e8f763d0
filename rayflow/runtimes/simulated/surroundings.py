"""The world as simulated processes need it; `rayflow.testing.simulation` implements it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.ids import TaskId, WorkerId
from rayflow.runtimes.hosting.messages import Ends
from rayflow.runtimes.hosting.ports import Connectors
from rayflow.state.base import Store

MILLISECOND = 1000
"""The schedule counts in microseconds."""


class Surroundings(Protocol):
    """Time, random decisions, transport and external systems, for simulated processes."""

    random: Random
    ends: Ends
    """The ends of the bounded run, shared by its attempts."""

    @property
    def checkpoints(self) -> CheckpointStore:
        """The store of processes that start now. Use it directly only to read; for writes see `put` and `create`."""

    def read_time(self, name: str) -> int:
        """The duration of reading an object, or a list of them, in microseconds."""

    def clock(self) -> int:
        """The wall clock, ms since the Unix epoch."""

    def seconds(self) -> float:
        """Virtual time since the start, in seconds."""

    def after(self, delay: int, call: Callable[[], None]) -> None:
        """Call `call` in `delay` microseconds."""

    def survives(self, process: Any, step: str) -> bool:
        """Called before each step of a process. False if it crashes here, or freezes until the world calls `thaw`."""

    def stepped(self, process: Any) -> None:
        """Called after each turn of a process, to check invariants."""

    def failed(self, process: Any, error: Exception) -> None:
        """An error has ended the process's attempt. Raises it if no simulated fault explains it."""

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace."""

    def send(self, sender: Any, slot: WorkerId | None, parcel: Any) -> None:
        """Call `deliver` of a worker, or of the coordinator (None), some time later: in order per pair of processes,
        perhaps more than once."""

    def workers(self, coordinator: Any, slots: Sequence[WorkerId]) -> None:
        """Ensure that each of these slots has a worker process."""

    def finished(self, coordinator: Any, restart: bool) -> None:
        """The attempt has ended regularly."""

    def committed(self, coordinator: Any, manifest: Manifest) -> None:
        """A manifest was written: check it."""

    def exhausted(self, coordinator: Any) -> bool:
        """Whether to drain the job: all input was written, and read by the coordinator's workers."""

    def connectors(self, process: Any) -> Connectors:
        """The connectors of a process. Their slow operations call its `pause`."""

    def state(self, process: Any, task: TaskId) -> Store:
        """The local store of a task on the machine of a worker process."""

    def put(
        self, process: Any, name: str, parts: Sequence[bytes], then: Callable[[], None], fail: Callable[[], None]
    ) -> None:
        """Write an object. `then` is called when it is durable, `fail` if that is unknown."""

    def create(
        self, process: Any, name: str, data: bytes, then: Callable[[bool], None], fail: Callable[[], None]
    ) -> None:
        """Like `put`, but create-if-absent; `then` is called with whether it was created."""

    def delete(self, process: Any, name: str) -> None:
        """Delete an object, at once."""
