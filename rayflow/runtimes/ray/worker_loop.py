"""The main thread of a worker process: runs the slot's host in turns, and reports metrics and logs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import InvariantBroken, RayflowError
from rayflow.core.ids import WorkerId
from rayflow.core.logging import get_logger
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.outgoing import Frame
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.messages import Message
from rayflow.runtimes.hosting.worker import WorkerDriver
from rayflow.runtimes.hosting.worker_host import Links, WorkerHost
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.garbage import collected_seldom
from rayflow.runtimes.machine.node_state import NodeState
from rayflow.runtimes.machine.ports import machine_ports
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.watching.journal import Journal, LogLines
from rayflow.runtimes.ray.watching.metrics import figures
from rayflow.runtimes.ray.watching.worker_metrics import WorkerMetrics, counted, look

log = get_logger("rayflow.worker")

LEASE = 3.0
"""Heartbeat timeouts without a question of the coordinator after which a worker ends itself: it has been given up, and
Ray may not know that its process is there (it outlives its node's raylet). And those that it gets to leave an attempt
that is over: a function that hangs, or a store, keeps its thread there."""
LOOK_EVERY = 0.5
"""Seconds between two measurements of the worker metrics."""
ENDS_EVERY = 5.0
"""Seconds between two looks at the ends of the sources."""
BUSY_WAIT = 0.001
IDLE_WAIT = 0.02
"""Seconds that a turn without work waits for a message: at least while something is written, at most when idle."""


class WorkerLoop:
    """Runs a slot's host. `post` from any thread what came for it; `run` on a thread of its own, until `close`."""

    def __init__(
        self, spec: JobSpec, plan: JobPlan, store: CheckpointStore, slot: WorkerId, links: Links, journal: Journal
    ) -> None:
        self.metrics = WorkerMetrics()
        self._spec = spec
        self._slot = slot
        self._links = links
        self._journal = journal
        self._connectors = OpenConnectors.of_run(spec.options)
        self._wake = threading.Event()
        ports = machine_ports(store, self._connectors, wake=self._wake.set)
        state = NodeState(spec.options.job_folder(spec.name))
        self._host = WorkerHost(plan, spec.options, slot, ports, state.open, links, on_epoch=self._on_epoch)
        self._watched: WorkerDriver | None = None
        self._closing = False
        self._before = (0, 0, 0)
        self._next_look = 0.0
        self._next_ends = 0.0
        self._worked = 0.0
        self._blocked = 0.0
        self._looked = time.monotonic()
        self._asked = time.monotonic()

    def post(self, arrived: Message | Frame) -> None:
        """Hand over what came. From any thread."""
        self._host.post(arrived)
        self._wake.set()

    def asked(self) -> None:
        """The coordinator is there. From any thread."""
        self._asked = time.monotonic()

    def close(self) -> None:
        """End the loop. From any thread."""
        self._closing = True
        self._wake.set()

    def run(self) -> None:
        """Turn until `close`. What cannot be told to the coordinator ends the process, which tells it as well."""
        try:
            self._live()
        except Exception:
            log.exception("the worker cannot go on: this process ends itself", job=self._spec.name)
            os._exit(1)

    def _live(self) -> None:
        idle = BUSY_WAIT
        with collected_seldom():
            while not self._closing:
                began = time.monotonic()
                if began - self._asked > LEASE * self._spec.heartbeat_timeout:
                    log.error("the coordinator does not answer: this worker exits", job=self._spec.name)
                    os._exit(1)
                if self._guarded(self._turn):
                    idle = BUSY_WAIT
                    self._worked += time.monotonic() - began
                    continue
                self._wake.wait(BUSY_WAIT if self._host.busy else idle)
                self._wake.clear()
                idle = min(idle * 2, IDLE_WAIT)
        self._host.drop()
        self._connectors.close()

    def _guarded(self, call: Callable[[], bool]) -> bool:
        """Whatever ends an attempt is told to the coordinator, which decides; the process stays for the next one."""
        try:
            return call()
        except RayflowError as error:
            self._fail(error)
        except Exception as error:  # a fault of ours or of a library, which may not even be possible to send
            log.exception("the worker has failed", job=self._spec.name)
            what = f"worker {self._slot} has failed: {type(error).__name__}; its log has the traceback"
            self._fail(InvariantBroken(what, job=self._spec.name))
        return True

    def _fail(self, error: RayflowError) -> None:
        self._count_what_ended(None)
        self._send_log()
        self._host.fail(error)

    def _turn(self) -> bool:
        worked = self._host.turn()
        if self._host.driver is not self._watched:
            self._count_what_ended(self._host.driver)
            self.metrics = replace(self.metrics, attempt=self._host.attempt)
        self._look(time.monotonic())
        return worked

    def _on_epoch(self, _times: EpochTimes) -> None:
        self._next_look = 0.0

    def _count_what_ended(self, driver: WorkerDriver | None) -> None:
        """Keep the counts of the attempt that has ended; look at `driver` from now on."""
        if self._watched is not None:
            before, more = self._before, counted(self._watched)
            self._before = (before[0] + more[0], before[1] + more[1], before[2] + more[2])
        self._watched = driver

    def _look(self, now: float) -> None:
        if now < self._next_look or self._watched is None:
            return
        self._next_look = now + LOOK_EVERY
        if now >= self._next_ends and self._watched.worker is not None:
            self._next_ends = now + ENDS_EVERY
            self._look_at_ends()
        passed = max(now - self._looked, 1e-9)
        metrics = look(self._watched)
        if self._spec.metrics_port is not None:
            metrics.figures = figures(self._watched)
        metrics.records_in += self._before[0]
        metrics.records_out += self._before[1]
        metrics.errors += self._before[2]
        metrics.busy, metrics.backpressured = (
            min(1.0, self._worked / passed),
            min(1.0, (self._host.blocked - self._blocked) / passed),
        )
        metrics.queued = self._host.queued
        self._worked, self._blocked = 0.0, self._host.blocked
        self._looked = now
        self.metrics = metrics
        self._send_log()

    def _send_log(self) -> None:
        if lines := self._journal.take():
            self._links.report(self._host.attempt, LogLines(lines))

    def _look_at_ends(self) -> None:
        assert self._watched is not None
        try:
            self._watched.sources.look_at_ends(timeout=1.0)
        except RayflowError as error:  # what ends the job is met, and told with its place, by who reads
            log.debug("the lag is unknown", reason=error.what)
