"""Runs a command and measures what it used."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_EVERY = 0.02
"""Seconds between two looks at a process's memory."""


class RunFailed(Exception):
    """A process ended with an error."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run used: seconds of wall clock and of CPU (user and system, the whole process tree), the peak of
    private memory (RssAnon, the whole tree) in bytes, and the bytes that it has written to disks, in whole pages."""

    wall: float
    cpu: float
    memory: int
    written: int


def measured(
    command: Sequence[str], log: Path, *, limit: float = 1200.0, seen: Callable[[float, int], None] | None = None
) -> Usage:
    """Run a command to its end; its output goes to `log`. `seen` is told seconds since the start, and private memory.

    Raises RunFailed, TimeoutError.
    """
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        peak = 0
        try:
            while True:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                memory = private_memory(process.pid)
                peak = max(peak, memory)
                if seen is not None:
                    seen(time.monotonic() - began, memory)
                if time.monotonic() - began > limit:
                    raise TimeoutError(f"{command[0]} did not end within {limit:g} s; see {log}")
                time.sleep(SAMPLE_EVERY)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
    if process.returncode:
        tail = log.read_text(errors="replace")[-3_000:]
        raise RunFailed(f"{' '.join(command)}\nended with {process.returncode}:\n{tail}")
    return Usage(time.monotonic() - began, used.ru_utime + used.ru_stime, peak, used.ru_oublock * 512)


def private_memory(pid: int) -> int:
    """RssAnon of a process and its descendants, in bytes; 0 for one that has ended."""
    children = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in _read(file).split()]
    return _anonymous(pid) + sum(map(private_memory, children))


def _anonymous(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


def _read(file: Path) -> str:
    """A file of /proc; empty when its process has just ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
