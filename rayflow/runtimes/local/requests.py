"""Requests to a local run, from signal handlers and other threads; its loop executes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rayflow.checkpoint.savepoint_place import check_place
from rayflow.checkpoint.store import CheckpointStore
from rayflow.engine.barrier_schedule import JobEnding
from rayflow.engine.events import BarrierRequested, EndRequested
from rayflow.runtimes.hosting.last_savepoints import LastSavepoints, write_last
from rayflow.runtimes.hosting.queries import Query
from rayflow.runtimes.hosting.savepoints import Savepoint, ended_before
from rayflow.runtimes.local.attempt import LocalAttempt
from rayflow.runtimes.machine.background import Thread

LOOK = 0.05
"""Seconds between two looks whether a savepoint of the end is written, and for requests."""


class EndedAtOnce(Exception):
    """A stop without a final checkpoint was requested."""


class RunRequests:
    """Call `stop`, `save` and `end_at_once` from any thread; they take no locks. The loop uses the other methods.

    Attributes:
        ending: how the run must end, None until requested. last: the savepoints to write then.
        savepoints, queries: requested and not started, shared with the attempts. Queries are added from any thread.
        closed: set when nothing more is done: what is posted after this may not be served.
    """

    def __init__(
        self, savepoint: str | None, *, job: str = "", checkpoints: str = "", folders: Sequence[Path] = ()
    ) -> None:
        """`savepoint`: URI of one to write at the end, in addition to those that are requested. `checkpoints`: URI of
        the job's own store. `folders`: where no savepoint may be written (`RunOptions.folders`)."""
        self._at_stop = savepoint
        self._job = job
        self._checkpoints = checkpoints
        self._folders = folders
        self.ending: JobEnding | None = None
        self.last = LastSavepoints([] if savepoint is None else [savepoint])
        self.closed = False
        self.savepoints: deque[Savepoint] = deque()
        self.queries: deque[Query] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._attempt: LocalAttempt | None = None
        self._told: JobEnding | None = None
        self._barrier_due = False

    def stop(self, *, drain: bool = False, savepoint: str | None = None) -> None:
        """Stop after a final checkpoint. `drain`: fire every window and timer first.

        A drain replaces a stop whose barrier was not sent yet.
        """
        self._posted.append(lambda: self._stop(drain, savepoint))

    def check_at_stop(self) -> None:
        """Raise what makes the savepoint of the run's end fail, if one is wanted."""
        if self._at_stop is not None:
            check_place(self._at_stop, self._checkpoints, self._job, self._folders)

    def check(self, uri: str) -> None:
        """Raise what makes a savepoint at `uri` fail, unless it was asked for before. Reads the store of `uri`."""
        if uri not in self.last.uris:
            check_place(uri, self._checkpoints, self._job, self._folders)

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
        if self.ending is not None and self.ending != self._told:
            self._told = self.ending
            attempt.coordinator.tell(EndRequested(self.ending))
        if self._barrier_due and attempt.coordinator.started:
            self._barrier_due = False
            attempt.coordinator.tell(BarrierRequested())

    def write_last(self, store: CheckpointStore) -> None:
        """Write all requested savepoints after the last attempt, until there are no new requests.

        Waits for a store that hangs, until `end_at_once`: then those that are not written fail.
        Raises the error of the first one that could not be written, after the others.
        """
        try:
            self._write_asked(store)
            self.closed = True
            self._write_asked(store)  # what was posted before whoever posted it could see this
        except EndedAtOnce:
            self.last.give_up()
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
            self._write(store, savepoint)
            self._take_posted()

    def _write(self, store: CheckpointStore, savepoint: Savepoint) -> None:
        """Write one, and take requests meanwhile. Raises EndedAtOnce."""
        background = Thread()
        try:
            background.call(partial(write_last, store, savepoint, self._folders), lambda _: None)
            while not background.collect():
                background.wait(LOOK)
                self._take_posted()
        finally:
            background.abandon()

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
