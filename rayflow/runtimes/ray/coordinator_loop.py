"""The main thread of the coordinator's process: runs one attempt after the other until the job ends."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import ray

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import (
    Fenced,
    NotEnoughResources,
    RayflowError,
    VersionMismatch,
    WorkerFailed,
    WorkerLost,
)
from rayflow.core.ids import TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.engine.barrier_schedule import AttemptEnding, JobEnding
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.last_savepoints import write_last
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.samples import write_samples
from rayflow.runtimes.hosting.start import choose_start
from rayflow.runtimes.hosting.status import ENDED, JobState
from rayflow.runtimes.machine.background import Thread
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.journal import Journal, LogLines
from rayflow.runtimes.machine.ports import machine_ports
from rayflow.runtimes.ray.deployment import Deployment
from rayflow.runtimes.ray.interruptions import Interruptions
from rayflow.runtimes.ray.pool import Pool, default_workers
from rayflow.runtimes.ray.posted_calls import PostedCalls
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.steering import Steering
from rayflow.runtimes.ray.watching.autoscaling import Autoscaling
from rayflow.runtimes.ray.watching.job_view import JobView
from rayflow.runtimes.ray.watching.overview import first_status, show_newest

log = get_logger("rayflow.coordinator")

CHECK_EVERY = 0.1
"""Seconds between two checks of the workers and of the requests."""


class CoordinatorLoop:
    """Takes a job from its submission to its end. `run` on a thread of its own; the rest from any thread.

    Attributes:
        turned: when the thread last took a turn, by the monotonic clock. begun: records have been processed.
    """

    def __init__(self, spec: JobSpec, me: Any, journal: Journal, *, restarted: bool = False) -> None:
        """`me`: the coordinator's actor. `restarted`: an earlier process of it has died."""
        self.journal = journal
        self.pool = Pool(spec, me)
        self.status = first_status(spec)
        self.steering = Steering(spec, self.status, self.pool)
        self.turned = time.monotonic()
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.error: Exception | None = None
        self._restarted = restarted
        self._spec = spec
        self._requests = self.steering.requests
        self._interruptions = Interruptions(self.status, spec.max_restarts)
        self._connectors = OpenConnectors.of_run(spec.options)
        self._posted = PostedCalls()
        self._view = JobView(spec, self.status, self.pool)
        self._placement: dict[TaskId, WorkerId] = {}

    # From other threads

    def post(self, slot: WorkerId, generation: int, number: int, attempt: int, body: object) -> None:
        """A worker said something."""
        self.pool.post(slot, generation, number, attempt, body)
        self._posted.wake()

    def call(self, call: Callable[[], None]) -> None:
        """Have the loop's thread do something."""
        self._posted.post(call)

    # The thread

    def run(self) -> None:
        """The job's life."""
        try:
            self._live()
        except RayflowError as error:
            error.job = error.job or self._spec.name
            self._fail(error)
        except Exception as error:  # a bug, here or in a library: the cause of the job's end
            log.exception("the coordinator has failed", job=self._spec.name)
            self._fail(error)
        finally:
            with contextlib.ExitStack() as closing:  # each one even if another fails; the end is announced last
                closing.callback(self.ended.set)
                closing.callback(self._view.close)
                closing.callback(self._connectors.close)
                closing.callback(self.pool.close)

    def _live(self) -> None:
        store, before = self._open()
        if before is not None:
            show_newest(self.status, store)
            if before.state in ENDED:  # this coordinator's process died after the job's end
                self.status.state, self.status.cause, self.status.savepoints = (
                    before.state,
                    before.cause,
                    before.written,
                )
                log.info("the job had ended", job=self._spec.name, state=before.state, reason=before.cause)
                if before.state == "failed":
                    self.error = WorkerFailed(f"the job had failed: {before.cause}", job=self._spec.name, advice="")
                return
            if before.finished is not None:  # it died while the last savepoints were written
                self.status.state = "stopping"
                self._finish(store, before.finished)
                return
            self._go_on()
        plan = self._spec.plan()
        ports = machine_ports(store, self._connectors, wake=self._posted.wake)
        if self._spec.metrics_port is not None:
            self._view.metrics.serve(self._spec.metrics_port, self._spec.metrics_address, again=before is not None)
        if before is None:
            self._off_thread(self._spec.check_savepoint_at_stop)
            self._off_thread(partial(write_samples, plan, self._connectors))
            self._off_thread(partial(choose_start, plan, self._spec.options, ports))
            self._requests.start_with(self._spec.workers or default_workers(plan, ports, self._spec.cpus))
            self._requests.save("running")
        least = self._spec.workers or self._requests.workers
        self.steering.autoscale(Autoscaling(least, self._spec.max_workers, self._spec.scaling_cooldown))
        while True:
            try:
                if (ending := self._attempt(plan, ports)) != "restart":
                    break
            except (RayflowError, ray.exceptions.RayError) as error:
                self._recover(error)
        self._finish(store, ending)

    def _finish(self, store: CheckpointStore, ending: JobEnding) -> None:
        """End the job after its last attempt. Raises the error of a savepoint that could not be written."""
        self._requests.finish(ending)
        self._write_last(store)
        self._end("stopped" if ending == "stop" else "done")

    def _open(self) -> tuple[CheckpointStore, Deployment | None]:
        """The checkpoint store, and what an earlier process that had started the job has saved there.

        A restarted process retries as after a failed attempt: the job has run before, and a store that is full or away
        may come back. At a submission the user waits, and gets the error. Raises CheckpointStoreFailed, DiskFull,
        DamagedObject.
        """
        while True:
            try:
                store = open_store(self._spec.checkpoints)
                before = self._requests.open(store, restarted=self._restarted)
                if before is None or before.state not in ENDED:
                    self._requests.save("starting" if before is None else before.state)
            except RayflowError as error:
                if not self._restarted:
                    raise
                self._recover(error)
            else:
                return store, None if before is None or before.state == "starting" else before

    def _off_thread(self, call: Callable[[], object]) -> None:
        """Run a call on another thread while this one takes turns: copying a savepoint may take long.

        Raises what it raises.
        """
        background = Thread(self._posted.wake)
        background.call(call, lambda _: None)
        try:
            while not background.collect():
                self._serve()
                self._posted.wait()
        finally:
            background.close()

    def _write_last(self, store: CheckpointStore) -> None:
        """Write the savepoints of the end, also those requested meanwhile; a later call is not served any more.

        Raises the error of the first one that could not be written, after the others.
        """
        last = self._requests.last
        self._serve()
        try:
            while (savepoint := last.next()) is not None:
                self._off_thread(partial(write_last, store, savepoint, self._spec.options.folders))
                self._serve()
        finally:
            self.status.savepoints = last.written
        last.check()

    def _go_on(self) -> None:
        """Take over from the coordinator's earlier process."""
        self._interruptions.taken_over()
        self.status.state, self.status.cause = "recovering", "the coordinator has been restarted"
        self.pool.resize(range(self._requests.workers))  # first: starting processes takes longest
        log.info("going on with the job", job=self._spec.name, workers=self._requests.workers)

    def _gather(self) -> tuple[WorkerId, ...]:
        """The slots of the next attempt, once all of them have a worker.

        While those of a rescale are not there yet, the job runs with as many as before.
        """
        self.pool.drop_lost()
        while True:
            slots = tuple(range(self._requests.workers))
            before = slots[: self._requests.fulfilled]
            self.pool.resize(slots)
            try:
                if self.pool.ready(slots):
                    self.pool.shrink(slots)
                    return slots
                if before != slots and self.pool.ready(before):
                    return before
            except (NotEnoughResources, WorkerFailed, VersionMismatch) as error:
                if not self.steering.refuse_rescale(error):
                    if not self._interruptions.established or not isinstance(error, NotEnoughResources):
                        raise
                    # A node is gone: the job is there again when another one comes.
                    self.status.state, self.status.cause = "waiting", error.what
                    log.warning("waiting for resources", job=self._spec.name, reason=error.what)
            self._serve()
            self.pool.check()
            self._posted.wait()

    def _attempt(self, plan: JobPlan, ports: Ports) -> AttemptEnding:
        """One attempt to its end; which."""
        self._interruptions.attempt_begins()
        slots = self._gather()
        hosted = CoordinatorDriver(
            plan,
            self._spec.options,
            ports,
            slots,
            lineage=uuid.uuid4().hex,
            send=self._send,
            earlier=self._placement,
            ends=self._requests.ends,
            savepoints=self.steering.savepoints,
            queries=self.steering.queries,
            on_commit=self._on_commit,
        )
        self.steering.begin(hosted)
        try:
            hosted.start()
            return self._drive(hosted)
        finally:
            self.steering.end()
            hosted.close()

    def _drive(self, hosted: CoordinatorDriver) -> AttemptEnding:
        next_check, running = 0.0, False
        while hosted.finished is None:
            worked = hosted.step()
            for _, attempt, body in self.pool.messages():
                worked = True
                if isinstance(body, LogLines):
                    self.journal.add(body.lines)
                else:
                    hosted.receive(attempt, body)
                    if attempt == hosted.coordinator.attempt:
                        self._view.metrics.received(body)
            self._serve()
            now = time.monotonic()
            if now >= next_check:
                next_check = now + CHECK_EVERY
                self.pool.check()
                self._view.show(hosted, self._interruptions.attempts)
                self.steering.look(hosted, self._view.overview.load, now)
            if hosted.started and not running:
                running = True
                self._on_started(hosted)
            if not worked:
                self._posted.wait()
        self.pool.look(timeout=1.0)
        self._view.show_now(hosted, self._interruptions.attempts)
        if (ending := hosted.finished.ending) == "restart":
            self._interruptions.paused()
        else:
            self._requests.finish(ending)  # before the attempt is closed, which may wait for garbage collection
        return ending

    def _on_started(self, hosted: CoordinatorDriver) -> None:
        """Records are processed, by the workers of this attempt."""
        log.info("running", job=self._spec.name, attempt=hosted.coordinator.attempt, workers=len(hosted.workers))
        self._placement = hosted.placement
        self._interruptions.attempt_started()
        self._view.show_now(hosted, self._interruptions.attempts)
        self.steering.running(hosted)  # last: the answer to a rescale is the status, with the new workers
        self.begun.set()

    def _serve(self) -> None:
        self.turned = time.monotonic()
        self._view.look(self.turned)
        self._posted.make()

    def _send(self, slot: WorkerId, body: object) -> None:
        assert self.steering.hosted is not None
        attempt = self.steering.hosted.coordinator.attempt
        self.pool.introduce(self.steering.hosted.workers, attempt)
        self._view.metrics.sent(body)
        self.pool.tell(slot, attempt, body)

    def _recover(self, error: Exception) -> None:
        """Decide what follows a failed attempt. Raises `error` when nothing does."""
        if not isinstance(error, RayflowError):
            error = WorkerLost(f"a call through Ray has failed: {type(error).__name__}", job=self._spec.name)
        delay = self._interruptions.failed(error)
        if delay is None:
            raise error
        if isinstance(error, Fenced) and self._requests.superseded():
            raise error
        log.warning("recovering", job=self._spec.name, reason=str(error), delay=delay)
        if self.status.state != "stopping":
            ran = self._interruptions.established or self._restarted
            self.status.state = "recovering" if ran else "starting"
        self.status.cause = str(error)
        until = time.monotonic() + delay
        while time.monotonic() < until:
            self._serve()
            self.pool.drop_lost()
            self._posted.wait()

    def _on_commit(self, manifest: Manifest) -> None:
        assert self.steering.hosted is not None
        self._view.committed(manifest, self.steering.hosted)
        seconds = self._interruptions.committed()  # after the epoch: a status with the recovery also has its commit
        if seconds is not None:
            log.info("recovered", job=self._spec.name, epoch=manifest.epoch, seconds=round(seconds, 2))

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.status.cause = str(error)
        log.error("the job has failed", job=self._spec.name, reason=str(error))
        self._end("failed")

    def _end(self, state: JobState) -> None:
        self.status.state = state
        if not self._requests.superseded():
            with contextlib.suppress(RayflowError):  # the end is kept in memory as well
                self._requests.save(state, self.status.cause)
        log.info("ended", job=self._spec.name, state=state)
