"""Runs one attempt in one process: a coordinator and one worker, which call each other."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Attempt, TaskId, WorkerId
from rayflow.engine.actions import SendToWorker
from rayflow.engine.events import StopRequested
from rayflow.engine.orders import FinishAttempt
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.messages import Ends
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.worker import WorkerDriver
from rayflow.state.base import Store

SLOT = 0
"""The one worker of this process."""
IDLE_WAIT = 0.01
"""How long a poll waits for records when there is nothing else to do, in seconds."""
BUSY_WAIT = 0.001
"""How long it waits while something is being written or published."""


class LocalAttempt:
    """Runs one attempt on the calling thread until it is finished or fails: `start`, then `step` until `finished`."""

    def __init__(
        self,
        plan: JobPlan,
        options: RunOptions,
        ports: Ports,
        open_state: Callable[[TaskId], Store],
        *,
        ends: Ends,
        on_epoch: Callable[[EpochTimes], None],
    ) -> None:
        """`ends`: see CoordinatorDriver. `open_state`, `on_epoch`: see WorkerDriver."""
        self._plan = plan
        self._options = options
        self._ports = ports
        self._open_state = open_state
        self._on_epoch = on_epoch
        self.coordinator = CoordinatorDriver(
            plan, options, ports, (SLOT,), lineage=uuid.uuid4().hex, send=self._to_worker, ends=ends
        )
        self.driver: WorkerDriver | None = None

    def start(self) -> None:
        """Begin; `step` until `finished`."""
        self.coordinator.start()

    def step(self) -> None:
        """One turn: records, clock, and a slice of everything that is in flight."""
        worked = self.coordinator.step()
        driver = self.driver
        if driver is None:  # nothing has been asked of the worker yet
            self.coordinator.background.wait(BUSY_WAIT)
            return
        worked = driver.step() or worked
        if self.coordinator.finished is not None:
            return
        writing = driver.writing or self.coordinator.background.waiting
        wait = 0.0 if worked else BUSY_WAIT if writing else IDLE_WAIT
        waiting = driver.waiting()
        if waiting or not driver.reads or not driver.sources.any or self.coordinator.coordinator.final_barrier_sent:
            driver.wait(wait)
        else:
            driver.poll(wait)

    def stop(self) -> None:
        """Ask for a last checkpoint and the end."""
        self.coordinator.tell(StopRequested())

    @property
    def worker(self) -> Worker | None:
        """The one worker, once its tasks are started."""
        return None if self.driver is None else self.driver.worker

    @property
    def finished(self) -> FinishAttempt | None:
        """Set once the attempt is over."""
        return self.coordinator.finished

    @property
    def outage(self) -> str | None:
        """Why the attempt waits, while a system is out of reach."""
        return None if self.driver is None else self.driver.outage

    def close(self) -> None:
        """Let go of everything; what is in flight is dropped."""
        if self.driver is not None:
            self.driver.close()
        self.coordinator.close()

    def _to_worker(self, slot: WorkerId, message: object) -> None:
        if self.driver is None:
            self.driver = self._worker(slot, self.coordinator.coordinator.attempt)
        self.driver.receive(message)

    def _worker(self, slot: WorkerId, attempt: Attempt) -> WorkerDriver:
        return WorkerDriver(
            self._plan,
            self._options,
            self._ports,
            self._open_state,
            slot,
            attempt,
            tell=lambda message: self.coordinator.receive(attempt, message),
            send=_nobody_else,
            on_epoch=self._on_epoch,
        )


def _nobody_else(action: SendToWorker) -> None:
    raise InvariantBroken(f"task {action.task} is hosted elsewhere, in a runtime of one process")
