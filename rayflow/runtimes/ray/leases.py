"""Keeps the leases of a job's workers, on the event loop of the coordinator's process.

A worker runs as long as its lease is valid: for `LEASE` heartbeat timeouts after the last ping. Leases ensure that no
worker outlives its coordinator. If the coordinator's process is dead or unreachable, or has given the worker up, nobody
can end the worker from outside; it must release its memory, CPUs and connections by itself. Output is exact without
leases, because the next attempt fences every worker that is left.

The process sends the pings, not the coordinator's thread. The thread may wait minutes for a slow broker or store while
its workers are healthy. But if the thread has died, or has made no progress for `PATIENCE` leases, it never will. Then
the process exits; Ray restarts it, and the workers, which belong to it, exit with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

import ray

from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.worker_metrics import WorkerMetrics

log = get_logger("rayflow.coordinator")

PING_EVERY = 0.5
"""Seconds between two pings of a worker."""
LEASE = 3.0
"""Heartbeat timeouts without a ping after which a worker exits. Also the time that it gets to leave an attempt that is
over: a function or a store that hangs blocks its thread."""
PATIENCE = 20.0
"""Leases without progress of the coordinator's thread after which it counts as hung for good."""


class Leased(Protocol):
    """A worker that is pinged.

    Attributes:
        heard: its last answer. asked: its last ping. told: the ping with its newest attempt. All in monotonic seconds.
        metrics: its latest answer.
    """

    actor: Any
    heard: float
    asked: float
    told: float
    metrics: WorkerMetrics


class Leases:
    """Pings every worker for its metrics, repeatedly. All on one event loop, except `current`."""

    def __init__(self, workers: Callable[[], list[Any]], heartbeat_timeout: float) -> None:
        """`workers`: returns the current ones; called on the event loop."""
        self._workers = workers
        self._timeout = heartbeat_timeout
        self._looked = time.monotonic()
        self._asking: dict[int, asyncio.Future[None]] = {}

    def current(self, now: float) -> bool:
        """Whether pings went out recently; if not, silent workers prove nothing. From any thread."""
        return now - self._looked <= self._timeout / 2

    async def keep(self, turned: Callable[[], float | None], give_up: Callable[[], None]) -> None:
        """Ping until the job has ended (`turned` returns None), or until its thread hangs: then call `give_up`.

        `turned`: the last turn of the coordinator's thread; minus infinity if it has died.
        """
        while (last := turned()) is not None:
            if time.monotonic() - last > PATIENCE * LEASE * self._timeout:
                give_up()
                return
            self.ask(time.monotonic())
            await asyncio.sleep(PING_EVERY / 2)

    def ask(self, now: float) -> None:
        """Ping the workers that are due."""
        workers: list[Leased] = self._workers()
        if not self.current(now):  # this process was suspended, not the workers
            for worker in workers:
                worker.heard = worker.told = now
        self._looked = now
        for worker in workers:
            if id(worker) not in self._asking and now - worker.asked >= PING_EVERY:
                worker.asked = now
                asking = self._asking[id(worker)] = asyncio.ensure_future(self._answer(worker))
                asking.add_done_callback(lambda _, worker=worker: self._asking.pop(id(worker)))  # type: ignore[misc]

    async def _answer(self, worker: Leased) -> None:
        try:
            worker.metrics = await worker.actor.ping.remote()
        except ray.exceptions.RayError as error:  # the pool notices it, too, when `watch` ends
            log.debug("a worker does not answer", reason=str(error))
        else:
            worker.heard = time.monotonic()
