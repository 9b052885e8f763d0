"""Keeps the leases of a job's workers, on the event loop of the coordinator's process.

A worker goes on by itself as long as its lease holds: for `LEASE` heartbeat timeouts after it was last asked. The lease
is there so that no worker outlives its job's coordinator. When the coordinator's process is dead or cut off, or has
given the worker up, nobody can end the worker from outside; it must let go of its memory, CPUs and connections by
itself. Output is exact without leases, since the next attempt fences whoever is left.

So the questions are owed by the process, not by the coordinator's thread. The thread may be busy for minutes with a
broker or a store that is slow, and its workers are healthy meanwhile. Only a thread that has died, or has not taken a
turn for `PATIENCE` leases, will never take one again: then this process is no coordinator any more. It ends itself;
Ray starts it again, and the workers, which belong to it, end with it.
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
"""Seconds between two questions to a worker."""
LEASE = 3.0
"""Heartbeat timeouts without a question after which a worker ends itself. Also those that it gets to leave an attempt
that is over: a function that hangs, or a store, keeps its thread there."""
PATIENCE = 20.0
"""Leases without a turn of the coordinator's thread after which it is taken to hang for good."""


class Leased(Protocol):
    """A worker as it is asked.

    Attributes:
        heard: when it last answered. asked: when it was last asked, told: of its newest attempt; monotonic seconds.
        metrics: its latest answer.
    """

    actor: Any
    heard: float
    asked: float
    told: float
    metrics: WorkerMetrics


class Leases:
    """Asks every worker for its metrics, again and again. All on one event loop, except `current`."""

    def __init__(self, workers: Callable[[], list[Any]], heartbeat_timeout: float) -> None:
        """`workers` gives those of now; it is called from the event loop."""
        self._workers = workers
        self._timeout = heartbeat_timeout
        self._looked = time.monotonic()
        self._asking: dict[int, asyncio.Future[None]] = {}

    def current(self, now: float) -> bool:
        """Whether workers have been asked lately: else their silence tells nothing. From any thread."""
        return now - self._looked <= self._timeout / 2

    async def keep(self, turned: Callable[[], float | None], give_up: Callable[[], None]) -> None:
        """Ask until the job has ended (`turned` gives None), or its thread cannot be waited for: then `give_up`.

        `turned`: when the coordinator's thread last took a turn; minus infinity: it has died.
        """
        while (last := turned()) is not None:
            if time.monotonic() - last > PATIENCE * LEASE * self._timeout:
                give_up()
                return
            self.ask(time.monotonic())
            await asyncio.sleep(PING_EVERY / 2)

    def ask(self, now: float) -> None:
        """Ask all that it is time to ask."""
        workers: list[Leased] = self._workers()
        if not self.current(now):  # this process stood still: that is no silence of the workers
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
        except ray.exceptions.RayError as error:  # the pool sees it as well, by the end of `watch`
            log.debug("a worker does not answer", reason=str(error))
        else:
            worker.heard = time.monotonic()
