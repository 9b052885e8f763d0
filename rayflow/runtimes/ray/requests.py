"""The requests of a job's users (stop, rescale, savepoint), saved for the next coordinator process."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import CheckpointStoreFailed, RayflowError
from rayflow.core.logging import get_logger
from rayflow.engine.barrier_schedule import JobEnding
from rayflow.runtimes.hosting.last_savepoints import LastSavepoints
from rayflow.runtimes.hosting.messages import Ends
from rayflow.runtimes.hosting.status import JobState
from rayflow.runtimes.ray.deployment import Deployment, read_deployment, write_deployment
from rayflow.runtimes.ray.spec import JobSpec

log = get_logger("rayflow.coordinator")


@dataclass(slots=True)
class Rescale:
    """A request for `workers` workers. `error`: why it was refused. `done` is set last.

    `same`: an earlier request for the same number, which gets the same answer.
    """

    workers: int
    error: RayflowError | None = None
    done: bool = False
    same: Rescale | None = None

    def answer(self, error: RayflowError | None = None) -> None:
        """End the waiter's wait."""
        self.error = error
        self.done = True
        if self.same is not None:
            self.same.answer(error)


class Requests:
    """Keeps the latest number of workers, how the job must end, and the pending rescale request.

    Attributes:
        workers: the number of slots. fulfilled: how many workers last processed records; at first, how many the
            submission asks for. A refused rescale, and a later process, return to it.
        ending: how the job must end, if that was requested.
        ends: those of a bounded run, which its attempts share and add to.
        last: the savepoints to write at the end. finished: how the last attempt has ended, if it has.
        rescale: the pending request.
    """

    def __init__(self, spec: JobSpec) -> None:
        self.workers = self.fulfilled = spec.workers
        self.ending: JobEnding | None = None
        at_stop = spec.options.savepoint_at_stop
        self.last = LastSavepoints([] if at_stop is None else [at_stop])
        self.finished: JobEnding | None = None
        self.ends: Ends = {}
        self.rescale: Rescale | None = None
        self._spec = spec
        self._incarnation = uuid.uuid4().hex
        self._saved_ends = 0
        self._store: CheckpointStore | None = None
        self._state: JobState = "starting"
        self._saved = False

    def open(self, store: CheckpointStore, *, restarted: bool = False) -> Deployment | None:
        """Load what an earlier process of the same submission has saved, and return it; None if there is none.

        Requests that this process has received meanwhile still count. Nothing is saved before this has succeeded.

        Args:
            restarted: there was an earlier process. A volume that is not mounted looks like an empty folder, and
                starting the job there would ignore its state.

        Raises DamagedObject, CheckpointStoreFailed.
        """
        before = read_deployment(store)
        if before is not None and before.submission != self._spec.submission:
            before = None
        if before is None and restarted:
            raise CheckpointStoreFailed(
                f"the coordinator has been restarted, and {store.uri} has no record of this submission",
                advice="Mount the volume with the job's checkpoints, and submit the job again. If it was killed "
                "before it had begun, or somebody has submitted it again, nothing is lost",
            )
        self._store = store
        if before is None:
            return None
        self._state = before.state
        self.fulfilled, self.finished = before.workers, before.finished
        self.ends.update({(source, partition): end for source, partition, end in before.ends})
        self.workers = before.workers if self.rescale is None else self.rescale.workers
        if self.ending is None or before.ending == "drain":
            self.ending = before.ending
        for uri in before.savepoints:
            self.last.ask(uri)
        return before

    def stop(self, ending: JobEnding, savepoint: str | None) -> None:
        """Record a request to end the job. A drain replaces a stop, never the reverse."""
        if self.ending is None or ending == "drain":
            self.ending = ending
        if savepoint is not None:
            self.last.ask(savepoint)
        self._keep()

    def finish(self, ending: JobEnding) -> None:
        """Record that the last attempt has ended, before anything else is done.

        A later process must only write the savepoints. Records that it processed after a savepoint would be processed
        again by whoever starts from that savepoint; after a drain they would be late.
        """
        if self.finished != ending:
            self.finished = ending
            self._keep()

    def start_with(self, workers: int) -> None:
        """Set the number of workers of a job that has not started yet. A rescale that is pending stays so."""
        self.fulfilled = workers
        self.workers = workers if self.rescale is None else self.rescale.workers

    def fulfil(self, workers: int) -> None:
        """Record that this many workers process records, in a bounded run up to `ends`.

        Only then does a rescale outlive this process: the next one must not wait for workers that nobody has seen fit.
        Whoever waits for a rescale repeats the request. Without its ends, the next process would read further: raises
        CheckpointStoreFailed if they cannot be saved, which ends the attempt before it commits.
        """
        before, self.fulfilled = self.fulfilled, workers
        if len(self.ends) != self._saved_ends:
            self.save("running")
        elif workers != before:
            self._keep()

    def answer(self, error: RayflowError | None = None) -> None:
        """End the wait of the rescale's requester."""
        rescale, self.rescale = self.rescale, None
        if rescale is not None:
            rescale.answer(error)

    def save(self, state: JobState, cause: str = "") -> None:
        """Save everything, and record that this process runs the job. Raises CheckpointStoreFailed."""
        if self._store is None:
            return
        spec = self._spec
        wanted = Deployment(
            spec.submission,
            self.fulfilled,
            state,
            cause,
            self.ending,
            self.last.uris,
            self.last.written,
            self._incarnation,
            self.finished,
            [(source, partition, end) for (source, partition), end in self.ends.items()],
        )
        write_deployment(self._store, wanted)
        self._saved_ends = len(wanted.ends)
        self._state = state
        self._saved = True

    def superseded(self) -> bool:
        """Whether another process has taken over the job, or its checkpoints, since this one has saved."""
        if self._store is None or not self._saved:
            return False
        try:
            found = read_deployment(self._store)
        except RayflowError:
            return False
        return found is not None and found.incarnation != self._incarnation

    def _keep(self) -> None:
        """Save the requests. If that fails they still count, but only in this process."""
        try:
            self.save(self._state)
        except RayflowError as error:
            log.warning("a request could not be saved", job=self._spec.name, reason=error.what)
