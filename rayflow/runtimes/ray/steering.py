"""Applies requests and autoscaling to a running job: a rescale, a savepoint, a stop."""

from __future__ import annotations

from collections import deque

from rayflow.core.errors import RayflowError
from rayflow.core.logging import get_logger
from rayflow.engine.events import BarrierRequested, EndRequested, PartitionsAdded
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.queries import Query
from rayflow.runtimes.hosting.savepoints import Savepoint
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray.pool import Pool
from rayflow.runtimes.ray.requests import Requests, Rescale
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.watching.autoscaling import Autoscaling, Load

log = get_logger("rayflow.coordinator")


class Steering:
    """Receives requests, and passes them to the current attempt. All on the coordinator's thread.

    Attributes:
        hosted: the current attempt's driver, None between attempts. requests: the open ones, saved.
        savepoints, queries: requested and not started. ran_with: how many workers last processed records in this
            process; 0: none.
    """

    def __init__(self, spec: JobSpec, status: JobStatus, pool: Pool) -> None:
        self.hosted: CoordinatorDriver | None = None
        self.requests = Requests(spec)
        self.savepoints: deque[Savepoint] = deque()
        self.queries: deque[Query] = deque()
        self.ran_with = 0
        self._job = spec.name
        self._status = status
        self._pool = pool
        self._scaling: Autoscaling | None = None
        self._told_end = False

    def autoscale(self, scaling: Autoscaling) -> None:
        """Start autoscaling."""
        self._scaling = scaling

    def stop(self, *, drain: bool, savepoint: str | None) -> None:
        """Stop the job after a final checkpoint. `drain`: fire every window and timer first."""
        self.requests.stop("drain" if drain else "stop", savepoint)
        self._status.state = "stopping"
        self._tell_ending()

    def rescale(self, rescale: Rescale) -> None:
        """Change the number of workers. An earlier request for another number fails."""
        requests = self.requests
        if requests.rescale is not None and requests.rescale.workers == rescale.workers:
            rescale.same = requests.rescale
        else:
            self._answer_rescale(_overtaken(self._job, rescale.workers))
        requests.rescale = rescale
        if rescale.workers == requests.workers:
            if self.ran_with == requests.workers:
                self._answer_rescale()
            return
        log.info("rescaling", job=self._job, before=requests.workers, after=rescale.workers)
        requests.workers = rescale.workers
        self._pool.resize(range(requests.workers))  # they start while the tasks still run
        if self.hosted is not None:
            self._pool.shrink(range(max(requests.workers, len(self.hosted.workers))))
        if self._status.state == "running":
            self._status.state = "rescaling"

    def savepoint(self, savepoint: Savepoint) -> None:
        """Write a savepoint of the next checkpoint."""
        if self.hosted is None:
            self.savepoints.append(savepoint)
        else:
            self.hosted.savepoint(savepoint)

    def begin(self, hosted: CoordinatorDriver) -> None:
        """Start to serve an attempt."""
        self.hosted = hosted
        self._told_end = False

    def end(self) -> None:
        """Note that the attempt is over."""
        self.hosted = None

    def look(self, hosted: CoordinatorDriver, load: Load, now: float) -> None:
        """End the attempt, once, for a stop request or when the new workers are ready. Apply autoscaling."""
        if hosted.started and not self._told_end:
            if self.requests.ending is not None:
                self._tell_ending()
                self._told_end = True
            elif self._rescaled(hosted):
                hosted.tell(PartitionsAdded())
                self._told_end = True
        self._scale(load, now)

    def running(self, hosted: CoordinatorDriver) -> None:
        """Note that the workers of this attempt process records. Raises what `Requests.fulfil` raises."""
        self.ran_with = len(hosted.workers)
        self.requests.fulfil(self.ran_with)
        if self._status.state != "stopping":
            self._status.state, self._status.cause = "running", ""
        if self.savepoints:  # asked for before there was an epoch to end
            hosted.tell(BarrierRequested())
        if self.ran_with == self.requests.workers:
            self._answer_rescale()

    def refuse_rescale(self, error: RayflowError) -> bool:
        """Return to the earlier number of workers, if it has changed, and answer the request with the error."""
        requests = self.requests
        if requests.fulfilled == requests.workers:
            return False
        log.warning("not rescaled", job=self._job, workers=requests.fulfilled, reason=error.what)
        requests.workers = requests.fulfilled
        self._pool.shrink(range(requests.workers))
        self._answer_rescale(error)
        return True

    def _rescaled(self, hosted: CoordinatorDriver) -> bool:
        """Whether the requested workers differ from the attempt's, and are ready."""
        slots = range(self.requests.workers)
        if set(slots) == set(hosted.workers):
            if self.requests.rescale is not None:  # the request was reverted before it had an effect
                self._answer_rescale()
            return False
        try:
            return self._pool.ready(slots)
        except RayflowError as error:
            self.refuse_rescale(error)
            return False

    def _scale(self, load: Load, now: float) -> None:
        """Rescale if the load requires it, and there is no other request."""
        if self._scaling is None or self._status.state != "running" or self.requests.rescale is not None:
            return
        if (workers := self._scaling.wanted(load, now)) is not None:
            self.rescale(Rescale(workers))

    def _answer_rescale(self, error: RayflowError | None = None) -> None:
        if self._status.state == "rescaling":
            self._status.state = "running"
        self.requests.answer(error)

    def _tell_ending(self) -> None:
        hosted = self.hosted
        if hosted is not None and hosted.started and self.requests.ending is not None:
            hosted.tell(EndRequested(self.requests.ending))


def _overtaken(job: str, workers: int) -> RayflowError:
    return RayflowError(
        f"a later rescale, to {workers}, has replaced this one",
        job=job,
        advice="rayflow status shows how many workers the job has",
    )
