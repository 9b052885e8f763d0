"""`ModelDisk` against LMDB in a state directory: processes that are killed, reboots, lost disks, second openers."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import TaskId
from rayflow.runtimes.simulated.process import Process
from rayflow.state.base import Stamp
from rayflow.state.lmdb_store import LmdbStore
from rayflow.state.memory_store import MemoryStore
from rayflow.testing.simulation.disk import ModelDisk
from rayflow.testing.simulation.supervisor import Machines
from tests.simulation.conformance.comparing import in_parallel
from tests.simulation.conformance.machine_process import delta_of, held

ROOT = Path(__file__).parents[3]
TASK = TaskId("count", 0)
EMPTY: Any = [None, {}]


class RealMachine:
    """A folder, a boot, and at most one process that holds the store."""

    def __init__(self, folder: Path) -> None:
        self._store, self._boot_id, self._boots = folder / "store", folder / "boot_id", 0
        folder.mkdir(parents=True, exist_ok=True)
        self.reboot()
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        """One more process that opens the store."""
        command = [sys.executable, "-m", "tests.simulation.conformance.machine_process"]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*command, str(self._store), str(self._boot_id)], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
        )

    def open(self) -> Any:
        """What a new process finds."""
        self._process = self.start()
        return self.hear()

    def tell(self, *what: Any) -> None:
        """Without waiting."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """The next answer."""
        assert self._process is not None
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """By SIGKILL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def reboot(self) -> None:
        """The machine comes up again."""
        self._boots += 1
        self._boot_id.write_text(f"boot {self._boots}\n")

    def lose(self) -> None:
        """The disk is new."""
        shutil.rmtree(self._store, ignore_errors=True)


STEPS = ("apply", "die in apply", "replace", "die in replace", "reboot", "close")


def compare(folder: Path, seed: int) -> None:
    """One machine and its model, step by step; the process is killed in the middle of writes and between them."""
    random = Random(seed)
    real, disk = RealMachine(folder), ModelDisk()
    assert real.open() == EMPTY
    epoch = 0
    try:
        for number, step in enumerate(["apply", *random.sample(STEPS, len(STEPS)), *random.choices(STEPS, k=2)]):
            store = disk.store(TASK)
            before = held(store)
            epoch += 1
            rows: dict[str, Any] = {f"k{random.randrange(12)}": f"{epoch}" for _ in range(random.randrange(1, 6))}
            stamp = Stamp("lineage", epoch)
            told = f"seed {seed}, step {number}: {step}"
            if step in ("apply", "die in apply"):
                for key in random.sample(sorted(rows), len(rows) // 3):
                    rows[key] = None
                store.apply(delta_of(rows), stamp)
                real.tell("apply", rows, *stamp)
                if step == "apply":
                    assert real.hear() == "done", told
                    if random.random() < 0.5:
                        continue
                real.kill()
                found = real.open()
                if step == "die in apply" and found == before:  # killed before it began: so was the model's process
                    disk = disk_with(before)
                assert found == held(disk.store(TASK)), told
            elif step == "replace":
                replace(store, rows, stamp, None)
                real.tell("replace", rows, *stamp, None)
                assert real.hear() == "done", told
            elif step == "die in replace":
                stop = random.randrange(len(rows))
                replace(store, rows, stamp, stop)
                real.tell("replace", rows, *stamp, stop)
                assert real.hear() == "hangs", told
                real.kill()
                assert real.open() == held(store) == EMPTY, told
            elif step == "reboot":  # unclean: the store is not trusted, as if the disk were lost
                real.kill()
                real.reboot()
                if random.random() < 0.3:
                    real.lose()
                disk.lose()
                assert real.open() == held(disk.store(TASK)) == EMPTY, told
            else:  # closed in good order: trusted whatever comes then
                store.close()
                real.tell("close")
                assert real.hear() == "done", told
                real.kill()
                if random.random() < 0.7:
                    real.reboot()
                assert real.open() == held(disk.store(TASK)), told
    finally:
        real.kill()


def replace(store: MemoryStore, rows: dict[str, str], stamp: Stamp, stop: int | None) -> None:
    """Replace in the model; `stop`: the process dies after so many rows."""

    def cut() -> Iterator[tuple[list[bytes], list[bytes]]]:
        for number, key in enumerate(sorted(rows)):
            if number == stop:
                raise KeyboardInterrupt
            yield [key.encode()], [rows[key].encode()]

    try:
        store.replace(cut(), stamp)
    except KeyboardInterrupt:
        assert stop is not None


def disk_with(content: Any) -> ModelDisk:
    """A disk that holds that."""
    disk = ModelDisk()
    if content[0] is not None:
        replace(disk.store(TASK), content[1], Stamp(*content[0]), None)
    return disk


def test_local_state_is_after_every_fate_what_the_model_says(tmp_path: Path) -> None:
    in_parallel({f"seed {seed}": partial(compare, tmp_path / str(seed), seed) for seed in range(4)})


def test_nobody_opens_a_store_that_is_held(tmp_path: Path) -> None:
    """The model gives a machine to one living process at a time; the real directory refuses a second one."""
    real = RealMachine(tmp_path)
    assert real.open() == EMPTY
    said, _ = real.start().communicate(timeout=60)
    assert json.loads(said) == "AlreadyRunning"
    real.kill()
    assert real.open() == EMPTY
    real.kill()
    store = LmdbStore(tmp_path / "mine")
    with pytest.raises(InvariantBroken):
        LmdbStore(tmp_path / "mine")
    store.close()

    machines = Machines()
    first, second = (cast(Process, SimpleNamespace(alive=True)) for _ in range(2))
    assert machines.take(0, first) == 0
    assert machines.take(0, second) == 1
    first.alive = False
    assert machines.take(0, cast(Process, SimpleNamespace(alive=True))) == 0
