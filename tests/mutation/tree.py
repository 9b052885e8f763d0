"""Copies of the source tree, in which one file at a time is another."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.mutation.mutants import Mutant

LEFT_OUT = (".git", ".venv", ".*cache*", ".hypothesis", ".coverage*", "__pycache__", "node_modules", "site", "results")
_times = count(int(time.time()) + 1)


class Tree:
    """A copy of a source tree in a folder of its own, with a folder for the temporary files of its tests."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder / "tree"
        self.temporary = folder / "tmp"
        shutil.copytree(root, self.folder, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        self.temporary.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        """The variables of processes in the tree: its own modules come first, and nothing of a test run around it."""
        given = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
        own = {"PYTHONPATH": str(self.folder), "TMPDIR": str(self.temporary), "PYTHONHASHSEED": "0"}
        return {**given, **own}

    @contextmanager
    def holding(self, mutant: Mutant) -> Iterator[None]:
        """The mutant's file is mutated while the block runs.

        Raises ValueError if the tree's file is not the one that the mutant was made of.
        """
        path = self.folder / mutant.file
        if path.read_bytes() != mutant.source:
            raise ValueError(f"{mutant.file} has changed since its mutants were made")
        try:
            self._write(path, mutant.mutated)
            yield
        finally:
            self._write(path, mutant.source)
            self.clean()

    def clean(self) -> None:
        """Delete what tests have left in their temporary folder."""
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(exist_ok=True)

    def _write(self, path: Path, source: bytes) -> None:
        path.write_bytes(source)
        moment = next(_times)  # Python takes compiled code for current that is of the same second and size
        os.utime(path, (moment, moment))
