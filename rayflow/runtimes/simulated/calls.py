"""Simulated calls of operators: the outcomes arrive after some time, in order per operator, some of them at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from rayflow.core.ids import TaskId
from rayflow.engine.events import CallsDone
from rayflow.operators.calling import Call, Outcome
from rayflow.runtimes.simulated.process import Process
from rayflow.runtimes.simulated.surroundings import MILLISECOND


class SimulatedCalls:
    """See `hosting.ports.Calls`. Only for functions that are not async."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._out: dict[tuple[TaskId, str], deque[Call]] = {}
        self._done: deque[CallsDone] = deque()
        self._closed = False

    def start(self, task: TaskId, operator: str, calls: Sequence[Call]) -> None:
        random = self._process.world.random
        out = self._out.setdefault((task, operator), deque())
        out.extend(calls)
        for _ in calls:
            delay = random.randrange(1, 200) * MILLISECOND
            self._process.world.after(delay, partial(self._make, task, operator, out))

    def done(self) -> list[CallsDone]:
        return [self._done.popleft() for _ in range(len(self._done))]

    def close(self) -> None:
        self._closed = True
        self._done.clear()

    def _make(self, task: TaskId, operator: str, out: deque[Call]) -> None:
        together = min(len(out), self._process.world.random.randrange(1, 4))
        if self._process.alive and not self._closed and together:
            calls = [out.popleft() for _ in range(together)]
            outcomes = [Outcome(call.number, call.fn(call.argument)) for call in calls]
            self._done.append(CallsDone(task, operator, outcomes))
            self._process.wake()
