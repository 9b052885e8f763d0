"""Answers the commands that watch and control a local run, on a separate thread that never touches the run itself.

It reads immutable copies of the status, and the journal, and posts requests to the run's loop. Each client has its own
task on the thread's event loop, so a client that hangs blocks nobody. A client that is silent for too long, or reads
its answer too slowly, is disconnected.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from rayflow.core.errors import InvariantBroken, RayflowError, VersionMismatch, WorkerLost
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.queries import Query, has_ended, not_running
from rayflow.runtimes.hosting.savepoints import Savepoint, ended_before
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.local.protocol import (
    LARGEST_LOG,
    LARGEST_REQUEST,
    LENGTH,
    Answer,
    AwaitEnd,
    EndAtOnce,
    GetLogs,
    GetStatus,
    LogAnswer,
    QueryAnswer,
    QueryTable,
    Request,
    SavepointAnswer,
    StatusAnswer,
    StopRun,
    Taken,
    WriteSavepoint,
    answer_of,
    pack,
    read_request,
)
from rayflow.runtimes.local.requests import RunRequests
from rayflow.runtimes.local.sockets import listen, unlisten
from rayflow.runtimes.machine.journal import Journal

log = get_logger("rayflow.local")

LOOK = 0.02
"""Seconds between two checks for what a client waits for."""
SILENCE = 60.0
"""Longest pause of a client between two requests, and while it reads an answer, in seconds."""
CLIENTS = 64
"""Most clients at the same time; more are refused."""
ANSWERED = 5.0
"""Seconds that a query may wait for the run to answer it."""
LAST_WORDS = 2.0
"""Seconds that clients have to read their last answers after the run has ended."""


class ControlServer:
    """Call `open` when the run has its lock, `retract` before it releases the lock, and `finish` at the very end."""

    def __init__(self, status: Callable[[], JobStatus], requests: RunRequests, journal: Journal | None) -> None:
        """`status`: returns an immutable copy; called from the server's thread. `journal`: None if there is no log."""
        self._status = status
        self._requests = requests
        self._journal = journal
        self._folder: Path | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._ended: JobStatus | None = None
        self._error: RayflowError | None = None

    def open(self, job_folder: Path) -> None:
        """Listen in a job's directory. If that fails, the run continues, and logs a warning."""
        try:
            listening = listen(job_folder)
        except OSError as error:
            log.warning("other commands cannot reach this run", reason=error.strerror or str(error))
            return
        self._folder = job_folder
        self._thread = threading.Thread(target=self._run, args=(listening,), name="rayflow-control", daemon=True)
        self._thread.start()

    def retract(self) -> None:
        """Accept no more connections; open ones continue."""
        if self._folder is not None:
            unlisten(self._folder)

    def finish(self, status: JobStatus, error: RayflowError | None) -> None:
        """The run has ended: answer the waiting clients, and end. `error`: the error of a failed run."""
        self._error, self._ended = error, status
        if self._thread is None:
            return
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(3 * LAST_WORDS)

    def _run(self, listening: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listening))
        finally:
            listening.close()

    async def _serve(self, listening: socket.socket) -> None:
        server = await asyncio.start_server(self._welcome, sock=listening, limit=LARGEST_REQUEST)
        self._over, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if self._ended is None:  # otherwise `finish` was called before the event existed
            await self._over.wait()
        server.close()
        if self._clients:
            await asyncio.sleep(2 * LOOK)  # a request may be in flight
        if self._answering:
            await asyncio.wait(set(self._answering), timeout=LAST_WORDS)
        for client in self._clients:
            client.cancel()
        if self._clients:
            await asyncio.wait(set(self._clients), timeout=LAST_WORDS)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if len(self._clients) > CLIENTS:
                busy = WorkerLost(f"{CLIENTS} clients are already connected to the run", advice="Try again later")
                writer.write(pack(answer_of(busy)))
                await asyncio.wait_for(writer.drain(), SILENCE)
                return
            while await self._exchange(task, reader, writer):
                pass
        except (OSError, EOFError, asyncio.TimeoutError, asyncio.CancelledError):
            pass  # the client left, or was disconnected
        finally:
            self._clients.discard(task)
            self._answering.discard(task)
            writer.close()

    async def _exchange(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One request and its answer. False if the request was too large."""
        length = int.from_bytes(await asyncio.wait_for(reader.readexactly(LENGTH), SILENCE), "big")
        self._answering.add(task)
        if length > LARGEST_REQUEST:
            answer: Answer = answer_of(VersionMismatch(f"a request of {length} bytes is too large"))
        else:
            body = await asyncio.wait_for(reader.readexactly(length), SILENCE)
            answer = await self._answered(body, reader)
        writer.write(pack(answer))
        await asyncio.wait_for(writer.drain(), SILENCE)
        self._answering.discard(task)
        return length <= LARGEST_REQUEST

    async def _answered(self, body: bytes, client: asyncio.StreamReader) -> Answer:
        try:
            return await self._answer(read_request(body), client)
        except RayflowError as error:
            return answer_of(error)

    async def _answer(self, request: Request, client: asyncio.StreamReader) -> Answer:
        match request:
            case GetStatus():
                return StatusAnswer(self._status() if self._ended is None else self._ended)
            case GetLogs(after):
                return self._logged(after)
            case WriteSavepoint(uri):
                return await self._save(Savepoint(uri), client)
            case QueryTable(operator, keys, table):
                return await self._query(Query(operator, keys, table), client)
            case StopRun(drain, savepoint, wait):
                return await self._stop(drain, savepoint, wait, client)
            case EndAtOnce():
                self._requests.end_at_once()
                return await self._end(client)
            case AwaitEnd(seconds):
                return await self._end(client) if seconds is None else await self._later(seconds, client)
        raise InvariantBroken(f"no answer for a request {type(request).__name__}")

    async def _stop(self, drain: bool, savepoint: str | None, wait: bool, client: asyncio.StreamReader) -> Answer:
        requests = self._requests
        if savepoint is not None:
            await asyncio.to_thread(requests.check, savepoint)
        requests.stop(drain=drain, savepoint=savepoint)
        if savepoint is None:
            return await self._end(client) if wait else Taken()
        if not wait and not requests.closed:  # check after posting: a request that was posted before `closed` is served
            return Taken()
        ended = await self._until_ended(client)
        requests.last.answer(savepoint, ended.name, self._error)
        return StatusAnswer(ended) if wait else Taken()

    async def _end(self, client: asyncio.StreamReader) -> Answer:
        ended = await self._until_ended(client)
        if self._error is not None:
            raise self._error
        return StatusAnswer(ended)

    async def _until_ended(self, client: asyncio.StreamReader) -> JobStatus:
        while self._ended is None:
            await self._wait_for(client)
        return self._ended

    async def _later(self, seconds: float, client: asyncio.StreamReader) -> Answer:
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while self._ended is None and clock() < end:
            await self._wait_for(client)
        return StatusAnswer(self._status() if self._ended is None else self._ended)

    async def _save(self, savepoint: Savepoint, client: asyncio.StreamReader) -> Answer:
        self._requests.save(savepoint)
        while not savepoint.done:
            if self._ended is not None:
                raise ended_before(self._ended.name)
            await self._wait_for(client)
        if savepoint.error is not None:
            raise savepoint.error
        assert savepoint.epoch is not None
        return SavepointAnswer(savepoint.epoch)

    async def _query(self, query: Query, client: asyncio.StreamReader) -> Answer:
        clock = asyncio.get_running_loop().time
        end = clock() + ANSWERED
        self._requests.queries.append(query)
        try:
            while not query.done:
                if self._ended is not None:
                    raise has_ended(self._ended.name)
                if clock() > end:
                    status = self._status()
                    raise not_running(status.name, status.state, ANSWERED)
                await self._wait_for(client)
        finally:
            query.give_up(self._requests.queries)
        return QueryAnswer(query.result())

    async def _wait_for(self, client: asyncio.StreamReader) -> None:
        """Wait a moment. Raises EOFError when the client has left."""
        if client.at_eof():
            raise EOFError
        await asyncio.sleep(LOOK)

    def _logged(self, after: int) -> LogAnswer:
        number, lines = (0, []) if self._journal is None else self._journal.after(after)
        size, kept = 0, len(lines)
        while kept and (size := size + len(lines[kept - 1])) <= LARGEST_LOG:
            kept -= 1
        return LogAnswer(number, lines[kept:])
