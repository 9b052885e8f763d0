"""The state directories of a job's tasks on a node: one per task, whichever worker hosts it."""

from __future__ import annotations

import itertools
from pathlib import Path

from rayflow.core.errors import AlreadyRunning
from rayflow.core.ids import TaskId
from rayflow.runtimes.machine.directory import folder_of
from rayflow.state.base import Store
from rayflow.state.lmdb_store import LmdbStore


class NodeState:
    """`tasks/<stage>-<partition>` in the job's folder. A worker that takes over a task finds its state there.

    A dropped worker may still run and hold the directory. Then the next directory is used, `~1`, and the state is
    restored from the checkpoint store. The contents of a directory are trusted only if their stamp matches.
    """

    def __init__(self, folder: Path) -> None:
        """`folder`: the job's folder on this node."""
        self._folder = folder / "tasks"

    def open(self, task: TaskId) -> Store:
        """The task's store. Raises DiskFull."""
        for number in itertools.count():
            name = folder_of(task) + (f"~{number}" if number else "")
            try:
                return LmdbStore(self._folder / name)
            except AlreadyRunning:
                continue
        raise AssertionError
