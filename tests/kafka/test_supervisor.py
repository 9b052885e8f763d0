"""A broker's process ends with those who use it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.kafka.broker import SUPERVISOR
from tests.kafka.client import until
from tests.kafka.jars import program

HOLD = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_UN); f = open(sys.argv[1], 'r+');"
HOLD += "fcntl.lockf(f, fcntl.LOCK_SH); print('held', flush=True); sys.stdin.read()"


def supervise(folder: Path) -> psutil.Process:
    """Supervise a process that would run for ever; gives that process."""
    command = [sys.executable, "-c", "import time; time.sleep(1e6)"]
    files = [folder / "users.lock", folder / "pid", folder / "log"]
    subprocess.Popen([sys.executable, SUPERVISOR, *files, folder, *command], start_new_session=True)
    until((folder / "pid").exists)
    return psutil.Process(int((folder / "pid").read_text()))


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_it_ends_and_its_folder_goes_when_its_user_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    lock = folder / "users.lock"
    user = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert user.stdout is not None
    assert user.stdout.readline() == b"held\n"
    broker = supervise(folder)
    assert broker.is_running()
    user.kill()
    user.communicate()
    until(lambda: gone(broker))
    until(lambda: not folder.exists())


def test_it_stays_until_the_last_of_several_users_lets_go(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    mine = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT)
    fcntl.lockf(mine, fcntl.LOCK_SH)
    command = [sys.executable, "-c", HOLD, str(folder / "users.lock")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    broker = supervise(folder)
    other.communicate()
    with pytest.raises(psutil.TimeoutExpired):
        broker.wait(1)
    os.close(mine)
    until(lambda: gone(broker))


def test_a_missing_program_is_an_error_that_says_what_to_install() -> None:
    with pytest.raises(RuntimeError, match="apt-get install nothing-such"):
        program("no-such-program", "nothing-such")
