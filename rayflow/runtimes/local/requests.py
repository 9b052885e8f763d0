"""What is asked of a run in one process, by signal handlers and other threads; its loop does it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from rayflow.core.errors import RayflowError
from rayflow.engine.events import BarrierRequested, DrainRequested, StopRequested
from rayflow.runtimes.hosting.savepoints import Savepoint
from rayflow.runtimes.local.attempt import LocalAttempt


class EndedAtOnce(Exception):
    """Somebody has asked for the end without a last checkpoint."""


class RunRequests:
    """`stop`, `save` and `end_at_once` from any thread; they take no locks. The rest is the loop's.

    Attributes:
        ending: how the run was asked to end, if it was. savepoint: URI of the one to write then.
        savepoints: those that are asked for and not begun, shared with the attempts.
    """

    def __init__(self, savepoint: str | None) -> None:
        """`savepoint`: where to write one at the end, if nobody asks for another place."""
        self.ending: Literal["stop", "drain"] | None = None
        self.savepoint = savepoint
        self.savepoints: deque[Savepoint] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._attempt: LocalAttempt | None = None
        self._told: str | None = None
        self._barrier_due = False

    def stop(self, *, drain: bool = False, savepoint: str | None = None) -> None:
        """End after a last checkpoint; `drain`: with every window and timer fired.

        A drain replaces a stop whose barrier is not out yet.
        """
        self._posted.append(lambda: self._stop(drain, savepoint))

    def save(self, savepoint: Savepoint) -> None:
        """Write a savepoint of the next checkpoint."""
        self._posted.append(lambda: self._save(savepoint))

    def end_at_once(self) -> None:
        """End without a last checkpoint."""
        self._posted.append(self._end)

    def take(self, attempt: LocalAttempt) -> None:
        """Pass on to the attempt what was asked for. Raises EndedAtOnce."""
        if attempt is not self._attempt:  # a new one knows of nothing yet
            self._attempt, self._told = attempt, None
            self._barrier_due = bool(self.savepoints)
        while self._posted:
            self._posted.popleft()()
        if self.ending != self._told:
            self._told = self.ending
            attempt.coordinator.tell(DrainRequested() if self.ending == "drain" else StopRequested())
        if self._barrier_due and attempt.coordinator.started:
            self._barrier_due = False
            attempt.coordinator.tell(BarrierRequested(0))

    def close(self, job: str) -> None:
        """The run is over: whoever still waits for a savepoint is told so."""
        for savepoint in self.savepoints:
            savepoint.error = RayflowError("the job ended before the savepoint was written", job=job)
            savepoint.done = True

    def _stop(self, drain: bool, savepoint: str | None) -> None:
        if self.ending is None or drain:
            self.ending = "drain" if drain else "stop"
        self.savepoint = savepoint or self.savepoint

    def _save(self, savepoint: Savepoint) -> None:
        self.savepoints.append(savepoint)
        self._barrier_due = True

    def _end(self) -> None:
        raise EndedAtOnce
