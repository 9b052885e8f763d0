"""Requests to a local run, from signal handlers and other threads; its loop executes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from rayflow.core.errors import RayflowError
from rayflow.engine.events import BarrierRequested, SourcesExhausted
from rayflow.runtimes.hosting.savepoints import Savepoint
from rayflow.runtimes.local.attempt import LocalAttempt


class EndedAtOnce(Exception):
    """A stop without a final checkpoint was requested."""


class RunRequests:
    """Call `stop`, `save` and `end_at_once` from any thread; they take no locks. The rest belongs to the loop.

    Attributes:
        ending: how the run must end, None until requested. savepoint: URI of the one to write then.
        savepoints: requested and not started, shared with the attempts.
    """

    def __init__(self, savepoint: str | None) -> None:
        """`savepoint`: URI of one to write at the end; a request can replace it."""
        self.ending: Literal["stop", "drain"] | None = None
        self.savepoint = savepoint
        self.savepoints: deque[Savepoint] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._attempt: LocalAttempt | None = None
        self._told: str | None = None
        self._barrier_due = False

    def stop(self, *, drain: bool = False, savepoint: str | None = None) -> None:
        """Stop after a final checkpoint; `drain`: fire every window and timer first. A drain replaces a stop."""
        self._posted.append(lambda: self._stop(drain, savepoint))

    def save(self, savepoint: Savepoint) -> None:
        """Write a savepoint of the next checkpoint."""
        self._posted.append(lambda: self._save(savepoint))

    def end_at_once(self) -> None:
        """Stop without a final checkpoint."""
        self._posted.append(self._end)

    def take(self, attempt: LocalAttempt) -> None:
        """Pass the requests on to the attempt. Raises EndedAtOnce."""
        if attempt is not self._attempt:  # a new one has received nothing yet
            self._attempt, self._told = attempt, None
            self._barrier_due = bool(self.savepoints)
        while self._posted:
            self._posted.popleft()()
        if self.ending == "stop" and self._told is None:
            self._told = "stop"
            attempt.stop()
        elif self.ending == "drain" and self._told is None and attempt.coordinator.started:
            self._told = "drain"
            attempt.coordinator.tell(SourcesExhausted())
        if self._barrier_due and attempt.coordinator.started:
            self._barrier_due = False
            attempt.coordinator.tell(BarrierRequested(0))

    def close(self, job: str) -> None:
        """The run is over: fail the savepoints that are still requested."""
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
