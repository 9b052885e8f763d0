"""The Ray actor of a worker: receives calls on its event loop, and works on a separate thread."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from dataclasses import dataclass
from typing import Any

import ray

from rayflow.checkpoint.open import open_store
from rayflow.core.ids import Attempt, WorkerId
from rayflow.core.logging import configure_logging
from rayflow.runtimes.hosting.channels.ordered import Ordered
from rayflow.runtimes.hosting.channels.outgoing import decode_frame
from rayflow.runtimes.hosting.messages import Message, PeerLost
from rayflow.runtimes.hosting.worker_metrics import WorkerMetrics
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray.links.actor_links import ActorLinks, Peers
from rayflow.runtimes.ray.links.transport import Address, Transport
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.worker_loop import WorkerLoop
from rayflow.version import __version__


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """The worker's report that it is ready: where it runs, its version, and its address for frames."""

    node: str
    host: str
    pid: int
    version: str
    address: Address


class WorkerActor:
    """Hosts the tasks of one slot. The job's coordinator creates and watches it."""

    def __init__(self, spec: JobSpec, slot: WorkerId, generation: int, coordinator: Any) -> None:
        self._journal = Journal()
        configure_logging(spec.name, json=True, level=spec.log_level, also=self._journal)
        self._spec = spec
        self._slot = slot
        self._generation = generation
        self._coordinator = coordinator
        self._told: Ordered[tuple[Attempt, object]] = Ordered()
        self._loop: WorkerLoop | None = None
        self._transport: Transport | None = None

    async def ready(self) -> WorkerStarted:
        """Import the job and start. Raises the errors of importing and compiling it."""
        spec = self._spec
        plan, store = spec.plan(), open_store(spec.checkpoints)
        self._transport = Transport(spec.secret, self._on_frame, self._on_lost)
        address = await self._transport.listen(node_address())
        links = ActorLinks(self._slot, self._generation, self._coordinator, self._transport)
        self._loop = WorkerLoop(spec, plan, store, self._slot, links, self._journal)
        threading.Thread(target=self._loop.run, name="rayflow-worker", daemon=True).start()
        node = ray.get_runtime_context().get_node_id()
        return WorkerStarted(node, socket.gethostname(), os.getpid(), __version__, address)

    async def tell(self, number: int, attempt: Attempt, body: object) -> None:
        """Receive a message from the coordinator."""
        assert self._loop is not None
        assert self._transport is not None
        for its_attempt, its_body in self._told.arrive(number, (attempt, body)):
            if isinstance(its_body, Peers):
                self._transport.meet(its_attempt, its_body.addresses)
            else:
                self._loop.post(Message(its_attempt, its_body))

    async def ping(self) -> WorkerMetrics:
        """Return the worker's latest metrics. Without pings for too long, the process exits."""
        if self._loop is None:  # it is still starting
            return WorkerMetrics()
        return self._loop.asked()

    async def watch(self) -> None:
        """Never returns: the caller notices from the failed call that the process is gone."""
        await asyncio.Event().wait()

    def _on_frame(self, data: bytes) -> None:
        assert self._loop is not None
        self._loop.post(decode_frame(data))

    def _on_lost(self, attempt: Attempt, slot: WorkerId) -> None:
        assert self._loop is not None
        self._loop.post(Message(attempt, PeerLost(slot)))


def node_address() -> str:
    """The address under which other nodes reach this one."""
    known: Any = ray.util
    return str(known.get_node_ip_address())
