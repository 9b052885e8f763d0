"""Runs one command with limits, and leaves none of its processes behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_EVERY = 0.1
"""Seconds between two looks at a process."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, or None when it was over a limit; seconds of wall clock and of CPU (of the
    process and what it has started); what it printed."""

    code: int | None
    wall: float
    cpu: float
    output: str


class Stopped(Exception):
    """The run is being given up."""


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    output: Path,
    stop: threading.Event,
    *,
    wall: float,
    cpu: float,
) -> Ended:
    """Run a command in a folder until it ends or is over a limit (seconds); then end its process group.

    Raises Stopped when `stop` is set meanwhile.
    """
    began, used = time.monotonic(), 0.0
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        over = False
        while not over and _runs(process):
            used = max(used, _cpu(process))
            over = time.monotonic() - began > wall or used > cpu
            if stop.wait(LOOK_EVERY):
                raise Stopped
    finally:
        _end(process)
    text = output.read_text(errors="replace")
    return Ended(None if over else process.returncode, time.monotonic() - began, used, text)


def _runs(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has not ended. It is not reaped here, so its id, and its group's, stay its own."""
    return bool(psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE)


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds of a process and its descendants, those that it has waited for included."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(process.pid)
        for each in [leader, *leader.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(each.cpu_times()[:4])
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, its group, and its descendants in groups of their own."""
    apart: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        apart = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for each in apart:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()  # psutil looks first whether the id is still the same process's
    process.wait()
