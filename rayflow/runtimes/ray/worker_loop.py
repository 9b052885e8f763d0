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
from rayflow.runtimes.hosting.worker_host import Links, WorkerHost
from rayflow.runtimes.hosting.worker_metrics import WorkerMeasuring, WorkerMetrics
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.garbage import collected_seldom
from rayflow.runtimes.machine.journal import Journal, LogLines
from rayflow.runtimes.machine.memory import private_memory
from rayflow.runtimes.machine.node_state import NodeState
from rayflow.runtimes.machine.ports import machine_ports
from rayflow.runtimes.ray.leases import LEASE
from rayflow.runtimes.ray.spec import JobSpec

log = get_logger("rayflow.worker")

LOOK_EVERY = 0.5
"""Seconds between two measurements of the worker metrics."""
ENDS_EVERY = 5.0
"""Seconds between two reads of the end positions of the sources."""
BUSY_WAIT = 0.001
IDLE_WAIT = 0.02
"""Seconds that a turn without work waits for a message: at least while something is written, at most when idle."""


class WorkerLoop:
    """Runs a slot's host. Call `post` from any thread with each arriving message, and `run` on a separate thread."""

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
        self._measuring = WorkerMeasuring(ports.clock, detailed=spec.metrics_port is not None)
        self._next_look = 0.0
        self._next_ends = 0.0
        self._worked = 0.0
        self._blocked = 0.0
        self._looked = time.monotonic()
        self._asked = time.monotonic()

    def post(self, arrived: Message | Frame) -> None:
        """Pass on an arriving message. From any thread."""
        self._host.post(arrived)
        self._wake.set()

    def asked(self) -> WorkerMetrics:
        """Note a ping of the coordinator, and return the answer. From any thread."""
        self._asked = time.monotonic()
        driver, metrics = self._host.driver, self.metrics
        if driver is None or driver.attempt <= metrics.attempt:
            return metrics
        return replace(metrics, attempt=driver.attempt)  # its first turn may take long; the old attempt is over

    def run(self) -> None:
        """Run turns forever. If the coordinator cannot be reached, the process exits, which the coordinator notices."""
        try:
            self._live()
        except Exception:
            log.exception("the worker cannot go on: this process ends itself", job=self._spec.name)
            os._exit(1)

    def _live(self) -> None:
        idle = BUSY_WAIT
        with collected_seldom():
            while True:
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

    def _guarded(self, call: Callable[[], bool]) -> bool:
        """Report an error that ends the attempt to the coordinator, which decides. The process stays."""
        try:
            return call()
        except RayflowError as error:
            self._fail(error)
        except Exception as error:  # a bug of rayflow or of a library; the error may not even be picklable
            log.exception("the worker has failed", job=self._spec.name)
            what = f"worker {self._slot} has failed: {type(error).__name__}; its log has the traceback"
            self._fail(InvariantBroken(what, job=self._spec.name))
        return True

    def _fail(self, error: RayflowError) -> None:
        self._measuring.watch(None)
        self._send_log()
        self._host.fail(error)

    def _turn(self) -> bool:
        worked = self._host.turn()
        if self._host.driver is not self._measuring.driver:
            self._measuring.watch(self._host.driver)
            self.metrics = replace(self.metrics, attempt=self._host.attempt)
        self._look(time.monotonic())
        return worked

    def _on_epoch(self, times: EpochTimes) -> None:
        self._measuring.on_epoch(times)
        self._next_look = 0.0

    def _look(self, now: float) -> None:
        if now < self._next_look or self._measuring.driver is None:
            return
        self._next_look = now + LOOK_EVERY
        if now >= self._next_ends and self._measuring.driver.worker is not None:
            self._next_ends = now + ENDS_EVERY
            self._measuring.look_at_ends()
        passed = max(now - self._looked, 1e-9)
        metrics = self._measuring.measure()
        metrics.memory = private_memory()
        metrics.busy = min(1.0, self._worked / passed)
        metrics.backpressured = min(1.0, (self._host.blocked - self._blocked) / passed)
        self._worked, self._blocked = 0.0, self._host.blocked
        self._looked = now
        self.metrics = metrics
        self._send_log()

    def _send_log(self) -> None:
        if lines := self._journal.take():
            self._links.report(self._host.attempt, LogLines(lines))
