"""How an environment is opened, made durable, shared and closed."""

from __future__ import annotations

import errno
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import lmdb
import psutil
import pytest

from rayflow.connectors.embedded.connector import EmbeddedConnector
from rayflow.connectors.embedded.environment import acquire
from rayflow.core.errors import BrokerRefused, DamagedObject, DiskFull, InvalidConnector, RayflowError
from rayflow.core.ids import TopicPartition


def test_the_folder_and_its_name_are_durable_once_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    acquire(tmp_path / "a" / "log").release()
    assert synced == [(tmp_path / "a" / "log").stat().st_ino, (tmp_path / "a").stat().st_ino]


def test_no_file_stays_open_after_the_last_release(tmp_path: Path) -> None:
    acquire(tmp_path).release()
    before = psutil.Process().num_fds()
    first = acquire(tmp_path)
    second = acquire(tmp_path)
    assert first is second
    first.release()
    with second.read() as txn:
        assert txn.get(b"x") is None
    second.release()
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize("error", [lmdb.ReadonlyError, lmdb.LockError])
def test_a_log_that_cannot_be_locked_or_written_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[lmdb.Error]
) -> None:
    def refuse(path: str, **options: object) -> lmdb.Environment:
        raise error("Permission denied")

    monkeypatch.setattr(lmdb, "open", refuse)
    with pytest.raises(InvalidConnector, match=f"{tmp_path} cannot be opened"):
        acquire(tmp_path)


class CodedError(lmdb.Error):
    """An error that carries the system's number."""

    def __init__(self, code: int) -> None:
        super().__init__("failed")
        self.code = code


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (lmdb.DiskError("no space"), DiskFull),
        (CodedError(errno.ENOSPC), DiskFull),
        (CodedError(errno.EIO), DiskFull),
        (CodedError(errno.EPERM), BrokerRefused),
        (lmdb.BadTxnError("bad"), BrokerRefused),
        (lmdb.MapFullError("full"), DiskFull),
        (lmdb.CorruptedError("bad"), DamagedObject),
        (lmdb.PageNotFoundError("bad"), DamagedObject),
        (lmdb.InvalidError("bad"), DamagedObject),
        (lmdb.VersionMismatchError("bad"), DamagedObject),
    ],
)
def test_errors_of_the_library_are_told_apart(tmp_path: Path, error: lmdb.Error, expected: type[RayflowError]) -> None:
    held = acquire(tmp_path)
    with pytest.raises(expected, match=str(tmp_path)), held.read():
        raise error
    held.release()


def _read_until_killed(path: Path, ready: Connection) -> None:
    with acquire(path).read():
        ready.send(True)
        ready.recv()


def _open(path: Path) -> None:
    acquire(path).release()


def test_the_next_process_that_opens_a_log_frees_what_a_killed_reader_held(tmp_path: Path) -> None:
    log = EmbeddedConnector(tmp_path)
    log.create("t", 1)
    processes = multiprocessing.get_context("forkserver")
    here, there = processes.Pipe()
    reader = processes.Process(target=_read_until_killed, args=(tmp_path, there))
    reader.start()
    here.recv()
    reader.kill()
    reader.join()
    opener = processes.Process(target=_open, args=(tmp_path,))
    opener.start()
    opener.join()
    before = (tmp_path / "data.mdb").stat().st_size
    shown = log.reader("g")
    for position in range(200):
        shown.commit({TopicPartition("t", 0): position}, 1)
    shown.close()
    log.close()
    assert (tmp_path / "data.mdb").stat().st_size - before < 200_000
