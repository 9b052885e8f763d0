"""The process that runs a job on a disk that is full, and again when there is space.

Run as `unshare --user --map-root-user --mount python -m tests.e2e.small_disk PART FOLDER`, in a mount namespace of its
own, so that it may mount a small tmpfs under FOLDER. Prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import rayflow as rf
from rayflow.core.errors import RayflowError
from tests.e2e.brokers import Broker
from tests.e2e.running import run

SPARE = 64 << 10
"""Bytes that are free when the job starts on the full disk."""
PLENTY = 64 << 20
VALUE = 1_000
KEYS = 800

Record = tuple[str, str]


class Disk:
    """A tmpfs whose size can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={PLENTY}", "none", str(folder)], check=True)

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)

    def leave(self, spare: int) -> None:
        """Leave so many bytes free."""
        status = os.statvfs(self.folder)
        self.resize((status.f_blocks - status.f_bfree) * status.f_frsize + spare)


def last_value(broker: Broker) -> rf.Job:
    """Keeps the last value of each key and passes each on."""
    job = rf.Job(broker.name("last"))
    records = job.stream(broker.name("in"), key=str, value=str)
    records.group_by_key().reduce(lambda _, value: value, emit="record").to(broker.name("out"), value=str)
    return job


def records(round: int, keys: int) -> list[Record]:
    return [(f"k{key}", f"{round:0{VALUE}}") for key in range(keys)]


def main(part: str, folder: Path) -> None:
    disk = Disk(folder / "small")
    roomy = folder / "roomy"
    state = disk.folder / "state" if part in ("state", "everything") else roomy / "state"
    log = disk.folder / "log" if part in ("log", "everything") else roomy / "log"
    checkpoints = disk.folder / "checkpoints" if part in ("checkpoints", "everything") else roomy / "checkpoints"
    broker = Broker(f"embedded:{log}", tag="")
    options: dict[str, Any] = {"checkpoints": f"file:{checkpoints}", "max_poll_records": 100}
    broker.create("in", 2)
    broker.create("out", 2)
    broker.append("in", records(1, 5))
    run(last_value(broker), broker, state, **options)
    broker.append("in", records(2, KEYS))
    disk.leave(SPARE)
    refused: list[tuple[str, str]] = []
    for _ in range(2):
        try:
            run(last_value(broker), broker, state, **options)
        except RayflowError as error:
            refused.append((error.code, str(error)))
    visible = broker.by_text("out")
    disk.resize(PLENTY)
    run(last_value(broker), broker, state, **options)
    broker.append("in", records(3, 5))
    run(last_value(broker), broker, state, **options)
    expected: dict[str, list[str]] = {}
    for key, value in [*records(1, 5), *records(2, KEYS), *records(3, 5)]:
        expected.setdefault(key, []).append(value)
    found = broker.by_text("out")
    begun = all(values == expected[key][: len(values)] for key, values in visible.items())
    print(json.dumps({"refused": refused, "exact": found == expected, "nothing wrong while full": begun}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
