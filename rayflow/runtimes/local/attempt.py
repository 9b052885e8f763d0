"""Runs one attempt in one process: a coordinator and one worker, with a queue of messages each way."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable

from rayflow.checkpoint.manifest import Manifest
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import Attempt, TaskId, WorkerId
from rayflow.engine.orders import FinishAttempt
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.outgoing import Frame
from rayflow.runtimes.hosting.coordinator import CoordinatorDriver
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.messages import Ends, Message
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.queries import Query
from rayflow.runtimes.hosting.savepoints import Savepoint
from rayflow.runtimes.hosting.worker import WorkerDriver
from rayflow.runtimes.hosting.worker_host import WorkerHost
from rayflow.state.base import Store

SLOT = 0
"""The only worker of this process."""
IDLE_WAIT = 0.01
"""Seconds that a turn waits for records if there is nothing else to do."""
BUSY_WAIT = 0.001
"""Seconds that it waits while something is being written or published."""


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
        savepoints: deque[Savepoint],
        queries: deque[Query] | None = None,
        on_epoch: Callable[[EpochTimes], None],
        on_commit: Callable[[Manifest], None] = lambda manifest: None,
    ) -> None:
        """`ends`, `savepoints`, `queries`, `on_commit`: see CoordinatorDriver. `open_state`, `on_epoch`: see
        WorkerDriver."""
        self.coordinator = CoordinatorDriver(
            plan,
            options,
            ports,
            (SLOT,),
            lineage=uuid.uuid4().hex,
            send=self._send,
            ends=ends,
            savepoints=savepoints,
            queries=queries,
            on_commit=on_commit,
        )
        self._told: deque[tuple[Attempt, object]] = deque()
        self._host = WorkerHost(plan, options, SLOT, ports, open_state, _Queue(self._told), on_epoch=on_epoch)

    def start(self) -> None:
        """Begin. Then call `step` until `finished`."""
        self.coordinator.start()

    def step(self) -> None:
        """One turn of coordinator and worker: messages, records, clock, and a slice of everything in flight."""
        worked = self.coordinator.step()
        wait = 0.0 if worked or self._told else BUSY_WAIT if self._writing else IDLE_WAIT
        worked = self._host.turn(wait) or worked
        while self._told and self.finished is None:
            worked = True
            self.coordinator.receive(*self._told.popleft())
        if not worked and not self._reads:  # otherwise the turn has waited for records
            self._wait(wait)

    @property
    def driver(self) -> WorkerDriver | None:
        """The worker's driver, after its first message."""
        return self._host.driver

    @property
    def worker(self) -> Worker | None:
        """The only worker, after its tasks were started."""
        return None if self.driver is None else self.driver.worker

    @property
    def finished(self) -> FinishAttempt | None:
        """Set when the attempt is over."""
        return self.coordinator.finished

    @property
    def outage(self) -> str | None:
        """Why the attempt waits, while a system is unavailable."""
        return None if self.driver is None else self.driver.outage

    def close(self) -> None:
        """Release all resources, and drop what is in flight."""
        self._host.drop()
        self.coordinator.close()

    @property
    def _reads(self) -> bool:
        driver = self.driver
        return driver is not None and driver.reads and driver.sources.any and not driver.waiting()

    @property
    def _writing(self) -> bool:
        return self._host.busy or self.coordinator.background.waiting > 0

    def _wait(self, timeout: float) -> None:
        """Let the background run."""
        if self.driver is None:
            self.coordinator.background.wait(timeout)
        else:
            self.driver.wait(timeout)

    def _send(self, slot: WorkerId, message: object) -> None:
        self._host.post(Message(self.coordinator.coordinator.attempt, message))


class _Queue:
    """The worker's links: messages to the coordinator wait for its turn, and there is no other worker."""

    def __init__(self, told: deque[tuple[Attempt, object]]) -> None:
        self._told = told

    def report(self, attempt: Attempt, message: object) -> None:
        self._told.append((attempt, message))

    def deliver(self, worker: WorkerId, frame: Frame) -> None:
        raise InvariantBroken(f"worker {worker} is hosted elsewhere, in a runtime of one process")
