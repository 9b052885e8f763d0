"""Runs one broker process, and ends it as soon as nobody holds the lock file any more.

Whoever uses the broker holds a shared POSIX lock on LOCK. The system lets go of it when its holder ends, however that
happens, so a broker never outlives the tests that use it, even when they are killed. Started by `broker.py`:

    python supervisor.py LOCK PID_FILE LOG REMOVE COMMAND...

REMOVE is a directory that is deleted at the end, or "-".
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

POLL = 0.25
"""Seconds between two looks at the lock."""


def die_with_parent() -> None:
    """Have Linux kill this process when its parent is killed; elsewhere the lock alone must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def unused(lock: int) -> bool:
    """Whether nobody holds the lock file; if so, this process holds it from now on."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def main(lock_file: str, pid_file: str, log: str, remove: str, *command: str) -> int:
    """Run `command` until it ends by itself or the lock file is free."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    lock = os.open(lock_file, os.O_RDWR | os.O_CREAT)
    with open(log, "ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
    try:
        written = Path(pid_file + ".new")
        written.write_text(str(process.pid))
        written.rename(pid_file)
        while True:
            try:
                return process.wait(POLL)
            except subprocess.TimeoutExpired:
                if unused(lock):
                    return 0
    finally:
        process.kill()
        process.wait()
        if remove != "-" and unused(lock):
            shutil.rmtree(remove, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
