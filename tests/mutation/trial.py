"""Tries one mutant: runs its tests, the cheapest first, until one fails."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.broker import Broker
from tests.mutation.mutants import Mutant
from tests.mutation.process import Ended, run
from tests.mutation.selection import Step, steps
from tests.mutation.tree import Tree

LONGEST = 1800.0
"""Seconds that a step may take, wall clock and CPU, on the tree without a mutant."""
TRIES = 2
"""How often a step is run without a mutant before it counts as one that fails."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: the step and test that failed, both empty if none did; seconds that it took."""

    mutant: Mutant
    step: str
    test: str
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether a test has noticed it."""
        return bool(self.step)


class FailsAnyway(Exception):
    """The tests fail without any mutant, so they say nothing about one."""


class Trials:
    """Tries mutants in copies of a tree; several threads may do so at a time, each with a tree of its own.

    Each step is run once without a mutant before it counts: it must pass, and how long it takes is what limits are
    made of.

    Args:
        folder: for what all trials share.
        stop: set to give up; then what runs ends, and Stopped is raised.
        steps: gives the steps for a mutant's file.
        spare: seconds of CPU, and four times as many of wall clock, on top of several times what a step usually takes.
    """

    def __init__(
        self,
        folder: Path,
        stop: threading.Event,
        steps: Callable[[str], list[Step]] = steps,
        spare: float = 30.0,
    ) -> None:
        self._folder = folder
        self._stop = stop
        self._steps = steps
        self._spare = spare
        self._usual: dict[Step, Ended] = {}
        self._lock = threading.Lock()
        self._begun: defaultdict[Step, threading.Lock] = defaultdict(threading.Lock)
        self._broker: Broker | None = None

    def close(self) -> None:
        """End what was started for the trials."""
        if self._broker is not None:
            self._broker.close()

    def of(self, mutant: Mutant, tree: Tree) -> Outcome:
        """Run the steps of a mutant. A step that takes several times as long as usual has noticed it, too.

        Raises FailsAnyway, Stopped.
        """
        took = 0.0
        for step in self._steps(mutant.file):
            usual = self._without_mutant(step, tree)
            began = time.monotonic()
            with tree.holding(mutant):
                ended = self._run(step, tree, wall=4 * self._spare + 6 * usual.wall, cpu=self._spare + 4 * usual.cpu)
            took += time.monotonic() - began
            if ended.code != 0:
                return Outcome(mutant, step.name, _what_failed(ended), took)
        return Outcome(mutant, "", "", took)

    def _without_mutant(self, step: Step, tree: Tree) -> Ended:
        with self._lock:
            begun = self._begun[step]
        with begun:
            if step not in self._usual:
                for _ in range(TRIES):
                    ended = self._run(step, tree, wall=LONGEST, cpu=LONGEST)
                    tree.clean()
                    if ended.code == 0:
                        break
                else:
                    raise FailsAnyway(f"{' '.join(step.command)}\nfails without a mutant:\n{ended.output[-3000:]}")
                self._usual[step] = ended
            return self._usual[step]

    def _run(self, step: Step, tree: Tree, *, wall: float, cpu: float) -> Ended:
        environment = {**tree.environment, **(self._kafka() if step.broker else {})}
        output = tree.folder.parent / "output"
        return run(step.command, tree.folder, environment, output, self._stop, wall=wall, cpu=cpu)

    def _kafka(self) -> dict[str, str]:
        """One broker for all trials, from when the first needs it."""
        with self._lock:
            if self._broker is None:
                self._broker = Broker(self._folder / "kafka").start()
            return {
                "RAYFLOW_TEST_KAFKA": self._broker.bootstrap,
                "RAYFLOW_TEST_KAFKA_SASL": self._broker.sasl or "",
            }


def _what_failed(ended: Ended) -> str:
    """The test's id where pytest names one, else how the command ended."""
    if ended.code is None:
        return f"over its time: {ended.wall:.0f} s, {ended.cpu:.0f} s of CPU"
    named = re.findall(r"^(?:FAILED|ERROR) (\S+)", ended.output, re.MULTILINE)
    lines = ended.output.strip().splitlines()
    return named[0] if named else f"exit code {ended.code}: {lines[-1][:100] if lines else ''}"
