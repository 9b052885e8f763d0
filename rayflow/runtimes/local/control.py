"""Controls a local run from another process, through the socket in the job's directory."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rayflow.core.errors import InvalidSetting, JobNotFound, StateDirectoryMismatch, VersionMismatch, WorkerLost
from rayflow.runtimes.hosting.control import JobControl
from rayflow.runtimes.hosting.queries import decoded_values, encoded_keys
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.local.protocol import (
    LARGEST_ANSWER,
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
    pack,
    read_answer,
)
from rayflow.runtimes.local.sockets import connect, holder_of

ANSWER = 10.0
"""Timeout for a request that the run answers at once, in seconds."""
A = TypeVar("A", bound=Answer)


class LocalJob(JobControl):
    """See JobControl. Each call opens a connection."""

    def __init__(self, name: str, folder: Path) -> None:
        """`folder`: the job's directory. Does not connect yet."""
        self.name = name
        self._folder = folder

    def status(self) -> JobStatus:
        return self._ask(GetStatus(), StatusAnswer, ANSWER).status

    def until_ended(self, timeout: float | None = None) -> JobStatus:
        return self._ask(AwaitEnd(), StatusAnswer, timeout).status

    def watch(self, every: float = 0.5) -> Iterator[JobStatus]:
        with self._connected(ANSWER + every) as connection:
            # One request is always in flight, so the run can always send its final status.
            connection.ask(AwaitEnd(0.0))
            while True:
                connection.ask(AwaitEnd(every))
                status = connection.answer(StatusAnswer).status
                yield status
                if status.ended:
                    return

    def logs(self, after: int = 0) -> tuple[int, list[str]]:
        answer = self._ask(GetLogs(after), LogAnswer, ANSWER)
        return answer.number, answer.lines

    def savepoint(self, uri: str) -> int:
        return self._ask(WriteSavepoint(uri), SavepointAnswer, None).epoch

    def rescale(self, workers: int) -> JobStatus:
        raise InvalidSetting(
            "a local run has one worker and cannot be rescaled",
            job=self.name,
            advice="Use rayflow run --runtime ray --workers N, or rayflow submit, to run the job in several processes",
        )

    def query(self, operator: str, keys: Sequence[Any], *, table: str | None = None) -> list[Any]:
        return decoded_values(self._ask(QueryTable(operator, encoded_keys(keys), table), QueryAnswer, ANSWER).values)

    def ask_to_stop(self, *, drain: bool = False, savepoint: str | None = None) -> None:
        self._ask(StopRun(drain, savepoint, wait=False), Taken, ANSWER)

    def stop(self, *, drain: bool = False, savepoint: str | None = None, timeout: float | None = None) -> JobStatus:
        return self._ask(StopRun(drain, savepoint, wait=True), StatusAnswer, timeout).status

    def remove(self) -> None:
        self._ask(EndAtOnce(), StatusAnswer, ANSWER)

    def _ask(self, request: Request, kind: type[A], timeout: float | None) -> A:
        with self._connected(timeout) as connection:
            connection.ask(request)
            return connection.answer(kind)

    @contextmanager
    def _connected(self, timeout: float | None) -> Iterator[_Connection]:
        with connect(self._folder, self.name, ANSWER) as opened:
            opened.settimeout(timeout)
            try:
                yield _Connection(opened)
            except TimeoutError:
                raise WorkerLost(
                    f"the run has not answered within {timeout:.0f} s", job=self.name, advice=_NO_ANSWER
                ) from None
            except (OSError, EOFError):
                if (holder := holder_of(self._folder)) is not None:
                    raise WorkerLost(
                        f"process {holder} runs the job but closed the connection before it answered",
                        job=self.name,
                        advice="Try again",
                    ) from None
                raise JobNotFound("the run's process ended before it answered", job=self.name) from None


class _Connection:
    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened

    def ask(self, request: Request) -> None:
        self._socket.sendall(pack(request))

    def answer(self, kind: type[A]) -> A:
        """The next answer. Raises the error in it, VersionMismatch, EOFError, OSError."""
        length = int.from_bytes(self._exactly(LENGTH), "big")
        if length > LARGEST_ANSWER:
            raise VersionMismatch(f"an answer of {length} bytes is too large")
        answer = read_answer(self._exactly(length))
        if not isinstance(answer, kind):
            raise VersionMismatch(f"unexpected answer {type(answer).__name__}")
        return answer

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self._socket.recv(min(size - len(data), 1 << 20))
            if not more:
                raise EOFError
            data += more
        return bytes(data)


_NO_ANSWER = "If it still does not answer, kill its process: kill -9 loses no data"


def local_job(state: Path, name: str) -> LocalJob:
    """The run of a job on a state directory. Raises JobNotFound, StateDirectoryMismatch, WorkerLost."""
    if name in ("", ".", "..") or "/" in name:
        raise JobNotFound(f"{name!r} is not a valid job name", job=name)
    folder = state.absolute() / "jobs" / name
    connect(folder, name, ANSWER).close()
    return LocalJob(name, folder)


def local_jobs(state: Path) -> list[LocalJob]:
    """The running jobs of a state directory, by name, without those of other users."""
    jobs = []
    folder = state.absolute() / "jobs"
    for name in sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []:
        try:
            jobs.append(local_job(state, name))
        except (JobNotFound, WorkerLost, StateDirectoryMismatch):
            continue
    return jobs
