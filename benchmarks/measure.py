"""Runs a command and measures what it used."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_EVERY = 0.02
"""Seconds between two looks at a process's memory."""
TICK = os.sysconf("SC_CLK_TCK")
"""In which the kernel counts a process's CPU, per second."""
GRACE = 30.0
"""Seconds that a process which is given up has to end itself."""


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
    peak = 0

    def look(pid: int, elapsed: float) -> None:
        nonlocal peak
        memory = private_memory(pid)
        peak = max(peak, memory)
        if seen is not None:
            seen(elapsed, memory)

    wall, used = followed(command, log, look, SAMPLE_EVERY, limit)
    return Usage(wall, used.ru_utime + used.ru_stime, peak, used.ru_oublock * 512)


def followed(
    command: Sequence[str], log: Path, look: Callable[[int, float], None], every: float, limit: float
) -> tuple[float, resource.struct_rusage]:
    """Run a command to its end, and `look`, told its id and the seconds since its start, every so many seconds.

    Gives the seconds that it took and what it has used. Raises RunFailed, TimeoutError.
    """
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            while True:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                look(process.pid, time.monotonic() - began)
                if time.monotonic() - began > limit:
                    raise TimeoutError(f"{command[0]} did not end within {limit:g} s; see {log}")
                time.sleep(every)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.terminate()  # what it has started, it ends
                try:
                    process.wait(GRACE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    if process.returncode:
        tail = log.read_text(errors="replace")[-3_000:]
        raise RunFailed(f"{' '.join(command)}\nended with {process.returncode}:\n{tail}")
    return time.monotonic() - began, used


def private_memory(pid: int) -> int:
    """RssAnon of a process and its descendants, in bytes; 0 for one that has ended."""
    return private_memory_of(pid) + sum(map(private_memory, children(pid)))


def private_memory_of(pid: int) -> int:
    """RssAnon of one process, in bytes; 0 for one that has ended."""
    for line in _text(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


def cpu_seconds(pid: int) -> float:
    """CPU seconds, user and system, that a process has used; 0 for one that has ended."""
    return stat(pid)[2]


def stat(pid: int) -> tuple[str, str, float]:
    """The name (as far as the kernel keeps it), the state and the CPU seconds of a process; empty when it has ended."""
    head, _, tail = _text(Path(f"/proc/{pid}/stat")).rpartition(")")
    fields = tail.split()
    if not fields:
        return "", "", 0.0
    return head.partition("(")[2], fields[0], (int(fields[11]) + int(fields[12])) / TICK


def children(pid: int) -> list[int]:
    """What a process has started."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in _text(file).split()]


def _text(file: Path) -> str:
    """A file of /proc; empty when its process has just ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
