"""The Ray actor of a worker: takes calls on its event loop, works on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from rayflow.checkpoint.open import open_store
from rayflow.core.ids import Attempt, WorkerId
from rayflow.core.logging import configure_logging
from rayflow.runtimes.ray.journal import Journal
from rayflow.runtimes.ray.ordered import Ordered
from rayflow.runtimes.ray.outbox import Frame
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.vitals import Vitals
from rayflow.runtimes.ray.worker_loop import Message, WorkerLoop
from rayflow.version import __version__


@dataclass(frozen=True, slots=True)
class Birth:
    """What a worker says once it is ready."""

    node: str
    host: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class Peers:
    """The workers of an attempt, by slot."""

    actors: Mapping[WorkerId, Any]


class ActorLinks:
    """Sends through Ray, without waiting for answers."""

    def __init__(self, slot: WorkerId, generation: int, coordinator: Any) -> None:
        self._slot = slot
        self._generation = generation
        self._report = coordinator.report.options(num_returns=0)
        self._deliver: dict[WorkerId, Any] = {}
        self._reported = 0

    def meet(self, peers: Mapping[WorkerId, Any]) -> None:
        """From now on these are the other workers."""
        self._deliver = {slot: actor.deliver.options(num_returns=0) for slot, actor in peers.items()}

    def report(self, attempt: Attempt, message: object) -> None:
        """Tell the coordinator."""
        self._report.remote(self._slot, self._generation, self._reported, attempt, message)
        self._reported += 1

    def deliver(self, worker: WorkerId, frame: Frame) -> None:
        """Send to another worker."""
        self._deliver[worker].remote(frame)


class WorkerActor:
    """Hosts the tasks of one slot; created and watched by the job's coordinator."""

    def __init__(self, spec: JobSpec, slot: WorkerId, generation: int, coordinator: Any) -> None:
        self._journal = Journal()
        configure_logging(spec.name, json=True, level=spec.log_level, also=self._journal)
        self._spec = spec
        self._slot = slot
        self._links = ActorLinks(slot, generation, coordinator)
        self._told: Ordered[tuple[Attempt, object]] = Ordered()
        self._loop: WorkerLoop | None = None

    async def ready(self) -> Birth:
        """Import the job and begin. Raises what importing or compiling it raises."""
        plan, store = self._spec.plan(), open_store(self._spec.checkpoints)
        self._loop = WorkerLoop(self._spec, plan, store, self._slot, self._links, self._journal)
        threading.Thread(target=self._loop.run, name="rayflow-worker", daemon=True).start()
        return Birth(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid(), __version__)

    async def tell(self, number: int, attempt: Attempt, body: object) -> None:
        """A message of the coordinator."""
        assert self._loop is not None
        for its_attempt, its_body in self._told.arrive(number, (attempt, body)):
            if isinstance(its_body, Peers):
                self._links.meet(its_body.actors)
            else:
                self._loop.post(Message(its_attempt, its_body))

    async def deliver(self, frame: Frame) -> None:
        """A frame of another worker."""
        assert self._loop is not None
        self._loop.post(frame)

    async def ping(self) -> Vitals:
        """Say that the process lives, and how it does."""
        assert self._loop is not None
        return self._loop.vitals

    async def watch(self) -> None:
        """Never returns: the caller learns by its end that the process is gone."""
        await asyncio.Event().wait()
