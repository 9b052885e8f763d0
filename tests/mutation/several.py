"""Tries several mutants, some at a time."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.mutation.mutants import Mutant
from tests.mutation.tree import Tree
from tests.mutation.trial import Outcome, Trials


def tried(mutants: Sequence[Mutant], jobs: int, root: Path, **options: Any) -> Iterator[Outcome]:
    """The outcome of each, as it ends; `jobs` are tried at a time. `options` are those of `Trials`. Raises FailsAnyway.

    However this ends, no process and no folder of it is left.
    """
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="rayflow-mutation-") as folder:
        trials = Trials(Path(folder), stop, **options)
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(min(jobs, len(mutants))):
            trees.put(Tree(root, Path(folder) / str(number)))

        def attempt(mutant: Mutant) -> Outcome:
            tree = trees.get()
            try:
                return trials.of(mutant, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(attempt, mutant) for mutant in mutants]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
                trials.close()
