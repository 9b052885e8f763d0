"""The socket that controls a local run: in its job's directory, accessible only to its owner.

The directory is opened first, and the socket is reached through it: `/proc/self/fd/N/socket` is short, whatever the
path of the state directory (the address of a Unix socket has 107 bytes at most), and nobody can insert a link.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rayflow.core.errors import JobNotFound, StateDirectoryMismatch, WorkerLost

FOLDER = "control"
SOCKET = "socket"
WAITING = 64
"""Backlog of connections."""
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def listen(job_folder: Path) -> socket.socket:
    """A listening socket in a job's directory; replaces one that a killed run has left.

    Only the holder of the directory's lock may call it. Raises OSError if it cannot listen.
    """
    with suppress(FileExistsError):
        os.mkdir(job_folder / FOLDER, 0o700)
    with _folder(job_folder) as folder:
        os.fchmod(folder, 0o700)
        with suppress(FileNotFoundError):
            os.unlink(SOCKET, dir_fd=folder)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(_address(folder, job_folder))
            os.chmod(SOCKET, 0o600, dir_fd=folder)
            listening.listen(WAITING)
        except OSError:
            listening.close()
            raise
    return listening


def unlisten(job_folder: Path) -> None:
    """Remove the socket. Only the holder of the directory's lock may call it."""
    with suppress(OSError), _folder(job_folder) as folder:
        os.unlink(SOCKET, dir_fd=folder)


def connect(job_folder: Path, job: str, timeout: float) -> socket.socket:
    """A connection to the run of a job.

    Raises JobNotFound if no run uses this folder, WorkerLost if one does but accepts no connection within `timeout`
    seconds, StateDirectoryMismatch if it belongs to another user.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        with _folder(job_folder) as folder:
            mode = os.fstat(folder).st_mode
            kind = os.stat(SOCKET, dir_fd=folder, follow_symlinks=False).st_mode
            if mode & 0o077 or not stat.S_ISSOCK(kind):
                raise PermissionError
            connection.connect(_address(folder, job_folder))
    except PermissionError:
        connection.close()
        raise StateDirectoryMismatch(
            f"{job_folder} is not private to this user, so its job cannot be controlled",
            job=job,
            advice="Run the command as the user who runs the job",
        ) from None
    except OSError as error:  # there is no socket, or no process listens on it
        connection.close()
        holder = holder_of(job_folder)
        if holder is None:
            raise JobNotFound(f"job {job} is not running in {job_folder}", job=job) from None
        raise WorkerLost(
            f"process {holder} runs the job but refuses connections: {error.strerror or error}",
            job=job,
            advice="If it has just started, try again. Ctrl-C or SIGTERM also stops it",
        ) from None
    return connection


def holder_of(job_folder: Path) -> str | None:
    """The id of the process that holds a job folder's lock; None if there is none."""
    try:
        descriptor = os.open(job_folder / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # otherwise it is not the lock of a run
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 64).decode(errors="replace").strip()
    finally:
        os.close(descriptor)
    return None


@contextmanager
def _folder(job_folder: Path) -> Iterator[int]:
    """The socket's folder, open. Raises OSError; PermissionError if it belongs to another user."""
    folder = os.open(job_folder / FOLDER, _OPEN)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            raise PermissionError(1, "it belongs to another user")
        yield folder
    finally:
        os.close(folder)


def _address(folder: int, job_folder: Path) -> str:
    if os.path.isdir(f"/proc/self/fd/{folder}"):
        return f"/proc/self/fd/{folder}/{SOCKET}"
    return str(job_folder / FOLDER / SOCKET)  # a system without /proc: works if the path is short enough
