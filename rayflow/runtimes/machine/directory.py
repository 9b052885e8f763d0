"""The files of a run under its --state directory, and the locks that exclude a second process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from rayflow.core.errors import AlreadyRunning, DiskFull, StateDirectoryMismatch
from rayflow.core.ids import TaskId
from rayflow.state.state_directory import is_held


def folder_of(task: TaskId) -> str:
    """The folder name of a task's LMDB environment."""
    return f"{task.stage}-{task.partition}"


class JobDirectory:
    """A job's folder under the state directory: lock, the tasks' LMDB directories, and by default the checkpoints.

    A context manager, which takes the lock. Raises AlreadyRunning if another process holds it, or a task's directory
    (a worker on Ray), StateDirectoryMismatch if the directory cannot be used.
    """

    def __init__(self, path: Path, job: str) -> None:
        self.path = path
        self._job = job
        self._lock: int | None = None

    def __enter__(self) -> JobDirectory:
        try:
            self.path.mkdir(0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno == 28:
                raise DiskFull(f"{self.path} cannot be created: the disk is full", job=self._job) from error
            raise StateDirectoryMismatch(
                f"{self.path} cannot be used as state directory: {error.strerror}",
                job=self._job,
                advice="Set --state to a directory that this user can write to",
            ) from error
        if not _locked(descriptor):
            holder = os.read(descriptor, 64).decode(errors="replace").strip()
            os.close(descriptor)
            raise AlreadyRunning(f"process {holder} runs this job on {self.path}", job=self._job)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        held = next(filter(is_held, sorted(self.path.glob("tasks/*"))), None)
        if held is not None:
            os.close(descriptor)
            raise AlreadyRunning(
                f"a worker process on this machine, of the job on Ray or of another run, holds {held}", job=self._job
            )
        self._lock = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def task(self, task: TaskId) -> Path:
        """The folder of a task's LMDB environment."""
        return self.path / "tasks" / folder_of(task)


TRIES, BETWEEN = 5, 0.01
"""The number of tries to take the lock, and the seconds in between. A process that only checks the lock holds it for
less."""


def _locked(descriptor: int) -> bool:
    for number in range(TRIES):
        if number:
            time.sleep(BETWEEN)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False
