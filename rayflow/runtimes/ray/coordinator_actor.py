"""The Ray actor of a job's coordinator: detached, named after the job, restarted by Ray when its process dies."""

from __future__ import annotations

import asyncio
import math
import os
import threading

import ray

from rayflow.checkpoint.savepoint_place import written_after
from rayflow.core.errors import ObjectExists, RayflowError
from rayflow.core.ids import Attempt, Epoch, WorkerId
from rayflow.core.logging import configure_logging, get_logger
from rayflow.runtimes.hosting.queries import Query, has_ended, not_running
from rayflow.runtimes.hosting.savepoints import Savepoint, ended_before
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.machine.journal import Journal
from rayflow.runtimes.ray.coordinator_loop import CoordinatorLoop
from rayflow.runtimes.ray.requests import Rescale
from rayflow.runtimes.ray.spec import JobSpec

log = get_logger("rayflow.coordinator")

LOOK = 0.02
"""Seconds between two checks for a client that waits."""

GRACE = 5.0
"""The most seconds that the removal of an ended job waits for other clients: the process of one may be gone."""

ANSWERED = 45.0
"""Seconds that a query may wait for the job to answer it."""


class CoordinatorActor:
    """Answers on its event loop; a separate thread runs the job."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        journal = Journal()
        configure_logging(spec.name, json=True, level=spec.log_level, also=journal)
        context = ray.get_runtime_context()
        restarted = bool(context.was_current_actor_reconstructed)
        self._loop = CoordinatorLoop(spec, context.current_actor, journal, restarted=restarted)
        self._waiting: set[str] = set()
        self._thread = threading.Thread(target=self._loop.run, name="rayflow-coordinator", daemon=True)
        self._thread.start()
        leases = self._loop.pool.leases.keep(self._turned, self._give_up)
        self._leases = asyncio.get_running_loop().create_task(leases)

    def _turned(self) -> float | None:
        """See Leases.keep."""
        if self._loop.ended.is_set():
            return None
        return self._loop.turned if self._thread.is_alive() else -math.inf

    def _give_up(self) -> None:
        log.error("the coordinator's thread does not go on: this process ends itself", job=self._loop.status.name)
        os._exit(1)

    async def report(self, slot: WorkerId, generation: int, number: int, attempt: Attempt, body: object) -> None:
        """Take a worker's message."""
        self._loop.post(slot, generation, number, attempt, body)

    async def status(self) -> JobStatus:
        """Current status."""
        return self._status()

    async def logs(self, after: int) -> tuple[int, list[str]]:
        """The kept log lines of all processes after the first `after`, and the number of lines so far."""
        return self._loop.journal.after(after)

    async def until_running(self) -> JobStatus:
        """Wait until records are processed, or the job has ended. Raises the error of a failed job."""
        while not self._loop.begun.is_set() and not self._loop.ended.is_set():
            await asyncio.sleep(LOOK)
        if self._loop.error is not None:
            raise self._loop.error
        return self._status()

    async def until_ended(self, caller: str, savepoint: str | None) -> JobStatus:
        """Wait until the job has ended and its workers are gone. Raises the error of a failed job.

        With the URI of a requested savepoint, raise only the error of this savepoint, if any. `caller`: an id of the
        caller's choice; it calls `answered` with it when it has the answer.
        """
        self._waiting.add(caller)
        while not self._loop.ended.is_set():
            await asyncio.sleep(LOOK)
        if savepoint is not None:
            self._answer(savepoint)
        elif self._loop.error is not None:
            raise self._loop.error
        return self._status()

    async def answered(self, caller: str) -> None:
        """Note that this caller does not wait for the job's end any more."""
        self._waiting.discard(caller)

    async def until_answered(self) -> None:
        """Wait until every caller has the answer to `until_ended`, GRACE seconds at most; then this actor may be
        removed."""
        clock = asyncio.get_running_loop().time
        end = clock() + GRACE
        while self._waiting and clock() < end:
            await asyncio.sleep(LOOK)

    async def stop(self, drain: bool, savepoint: str | None, caller: str | None) -> None:
        """Request a final checkpoint and the end. Once this answers, the request outlives this process, unless saving
        it failed, which is logged.

        Raises RayflowError when it is too late for the savepoint; what makes it fail, with nothing asked for then.
        `caller`: the id with which the caller calls `until_ended` next, None if it does not.
        """
        if caller is not None:
            self._waiting.add(caller)
        if savepoint is not None and savepoint not in self._loop.steering.requests.last.uris:
            await asyncio.to_thread(self._spec.check_savepoint, savepoint)
        taken = threading.Event()

        def stop() -> None:
            try:
                self._loop.steering.stop(drain=drain, savepoint=savepoint)
            finally:
                taken.set()

        self._loop.call(stop)
        while not taken.is_set() and not self._loop.ended.is_set():
            await asyncio.sleep(LOOK)
        if savepoint is not None and not taken.is_set():
            self._answer(savepoint)

    async def savepoint(self, uri: str, after: Epoch) -> Epoch | None:
        """Write a savepoint of the next checkpoint; its epoch. Raises what writing it raises.

        The client repeats a request if this process is replaced before it answers: a savepoint of an epoch later than
        `after`, the newest when the client asked, is then the answer.
        """
        savepoint = Savepoint(uri)
        self._loop.call(lambda: self._loop.steering.savepoint(savepoint))
        while not savepoint.done:
            if self._loop.ended.is_set():
                raise ended_before(self._loop.status.name)
            await asyncio.sleep(LOOK)
        if isinstance(savepoint.error, ObjectExists):
            written = await asyncio.to_thread(written_after, after, uri, self._spec.checkpoints, self._spec.name)
            if written is not None:
                return written
        if savepoint.error is not None:
            raise savepoint.error
        return savepoint.epoch

    async def query(self, operator: str, keys: list[bytes], table: str | None) -> list[bytes | None]:
        """The values at these keys of an operator's table, all encoded. Raises why there is no answer."""
        query = Query(operator, keys, table)
        self._loop.call(lambda: self._loop.steering.queries.append(query))
        clock = asyncio.get_running_loop().time
        end = clock() + ANSWERED
        try:
            while not query.done:
                if self._loop.ended.is_set():
                    raise has_ended(self._loop.status.name)
                if clock() > end:
                    raise not_running(self._loop.status.name, self._loop.status.state, ANSWERED)
                await asyncio.sleep(LOOK)
        finally:
            query.give_up(self._loop.steering.queries)
        return query.result()

    async def rescale(self, workers: int) -> JobStatus:
        """Change the number of workers; return when they process records. Raises the reason if the number stays the
        same."""
        rescale = Rescale(workers)
        self._loop.call(lambda: self._loop.steering.rescale(rescale))
        while not rescale.done:
            if self._loop.ended.is_set():
                raise self._loop.error or RayflowError("the job has ended", job=self._loop.status.name)
            await asyncio.sleep(LOOK)
        if rescale.error is not None:
            raise rescale.error
        return self._status()

    def _status(self) -> JobStatus:
        """A copy, which the loop's thread does not change while it is sent."""
        return self._loop.status.snapshot()

    def _answer(self, savepoint: str) -> None:
        """Raise the error of a savepoint at the job's end, if it was not written."""
        loop = self._loop
        if savepoint not in loop.status.savepoints:
            loop.steering.requests.last.answer(savepoint, loop.status.name, loop.error)
