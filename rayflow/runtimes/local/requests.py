"""Requests to a local run, from signal handlers and other threads; its loop executes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from rayflow.checkpoint.store import CheckpointStore
from rayflow.engine.events import BarrierRequested, DrainRequested, StopRequested
from rayflow.runtimes.hosting.last_savepoints import LastSavepoints, write_last
from rayflow.runtimes.hosting.savepoints import Savepoint, ended_before
from rayflow.runtimes.local.attempt import LocalAttempt


class EndedAtOnce(Exception):
    """A stop without a final checkpoint was requested."""


class RunRequests:
    """Call `stop`, `save` and `end_at_once` from any thread; they take no locks. The loop uses the other methods.

    Attributes:
        ending: how the run must end; None until requested.
        last: the savepoints to write at the end.
        savepoints: requested and not started, shared with the attempts.
        closed: set when no more requests are served.
    """

    def __init__(self, savepoint: str | None) -> None:
        """`savepoint`: URI of a savepoint to write at the end, in addition to requested ones."""
        self.ending: Literal["stop", "drain"] | None = None
        self.last = LastSavepoints([] if savepoint is None else [savepoint])
        self.closed = False
        self.savepoints: deque[Savepoint] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._attempt: LocalAttempt | None = None
        self._told: str | None = None
        self._barrier_due = False

    def stop(self, *, drain: bool = False, savepoint: str | None = None) -> None:
        """Stop after a final checkpoint. `drain`: fire every window and timer first.

        A drain replaces a stop whose barrier was not sent yet.
        """
        self._posted.append(lambda: self._stop(drain, savepoint))

    def save(self, savepoint: Savepoint) -> None:
        """Write a savepoint of the next checkpoint."""
        self._posted.append(lambda: self._save(savepoint))

    def end_at_once(self) -> None:
        """Stop without a final checkpoint."""
        self._posted.append(self._end)

    def take(self, attempt: LocalAttempt) -> None:
        """Pass the requests on to the attempt. Raises EndedAtOnce."""
        if attempt is not self._attempt:  # it has received nothing yet
            self._attempt, self._told = attempt, None
            self._barrier_due = bool(self.savepoints)
        self._take_posted()
        if self.ending != self._told:
            self._told = self.ending
            attempt.coordinator.tell(DrainRequested() if self.ending == "drain" else StopRequested())
        if self._barrier_due and attempt.coordinator.started:
            self._barrier_due = False
            attempt.coordinator.tell(BarrierRequested(0))

    def write_last(self, store: CheckpointStore) -> None:
        """Write all requested savepoints after the last attempt, until there are no new requests.

        Raises the error of the first savepoint that could not be written, after writing the others.
        """
        with suppress(EndedAtOnce):
            self._write_asked(store)
            self.closed = True
            self._write_asked(store)  # requests that arrived before `closed` was set
        self.last.check()

    def close(self, job: str) -> None:
        """The run is over: fail the savepoints that are still requested."""
        self.closed = True
        for savepoint in self.savepoints:
            savepoint.error = ended_before(job)
            savepoint.done = True

    def _write_asked(self, store: CheckpointStore) -> None:
        self._take_posted()
        while (savepoint := self.last.next()) is not None:
            write_last(store, savepoint)
            self._take_posted()

    def _take_posted(self) -> None:
        while self._posted:
            self._posted.popleft()()

    def _stop(self, drain: bool, savepoint: str | None) -> None:
        if self.ending is None or drain:
            self.ending = "drain" if drain else "stop"
        if savepoint is not None:
            self.last.ask(savepoint)

    def _save(self, savepoint: Savepoint) -> None:
        self.savepoints.append(savepoint)
        self._barrier_due = True

    def _end(self) -> None:
        self.closed = True
        raise EndedAtOnce
