"""Hosts a slot's worker over all attempts: receives its messages and frames, and runs its driver in turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from rayflow.core.errors import RayflowError, WorkerLost
from rayflow.core.ids import Attempt, TaskId, WorkerId
from rayflow.engine.actions import SendToWorker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.incoming import Incoming
from rayflow.runtimes.hosting.channels.outgoing import Frame, Outgoing
from rayflow.runtimes.hosting.epoch_times import EpochTimes
from rayflow.runtimes.hosting.messages import Failed, Message, PeerLost
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.worker import WorkerDriver
from rayflow.serde.codec import Codec
from rayflow.state.base import Store


class Links(Protocol):
    """Sends for a worker. Calls return at once. A message that cannot be delivered is lost with its attempt."""

    def report(self, attempt: Attempt, message: object) -> None:
        """Send a message to the coordinator; messages arrive in order, once."""

    def deliver(self, worker: WorkerId, frame: Frame) -> None:
        """Send to another worker of the attempt."""


class WorkerHost:
    """Hosts a slot: call `post` with each arriving message, from any thread, and `turn` repeatedly on one thread.

    A message of a newer attempt ends the current one: its publishers, readers and tasks are closed; the tasks' local
    stores stay on disk. Messages of an older attempt are refused.

    Attributes:
        attempt: the newest known one; 0: none.
        driver: that attempt's; None before the first, and after a failure.
        blocked: total seconds in which a task waited for credit or for calls.
    """

    def __init__(
        self,
        plan: JobPlan,
        options: RunOptions,
        slot: WorkerId,
        ports: Ports,
        open_state: Callable[[TaskId], Store],
        links: Links,
        *,
        on_epoch: Callable[[EpochTimes], None] = lambda times: None,
    ) -> None:
        """`open_state`: see WorkerDriver. `on_epoch`: is called with each epoch that is done."""
        self.slot = slot
        self.attempt: Attempt = 0
        self.driver: WorkerDriver | None = None
        self.blocked = 0.0
        self._full_since: float | None = None
        self._plan = plan
        self._options = options
        self._ports = ports
        self._open_state = open_state
        self._links = links
        self._on_epoch = on_epoch
        self._posted: deque[Message | Frame] = deque()
        self._outgoing: Outgoing | None = None
        self._incoming: Incoming | None = None

    def post(self, arrived: Message | Frame) -> None:
        """Add an arrived message or frame. Callable from any thread."""
        self._posted.append(arrived)

    def turn(self, timeout: float = 0.0) -> bool:
        """Process what arrived, and advance the driver by one step. True if anything was done.

        If there is nothing to do and records may be read, it waits for records up to `timeout` seconds. Raises the
        errors that end the attempt: then call `fail`.
        """
        worked = False
        while self._posted:
            worked = True
            self._take(self._posted.popleft())
        driver, outgoing, incoming = self.driver, self._outgoing, self._incoming
        if driver is None or outgoing is None or incoming is None:
            return worked
        worked = driver.step() or worked
        if driver.worker is not None:
            worked = self._take_in(driver, incoming, outgoing) or worked
            full = driver.waiting(outgoing.waiting)
            self._count_blocked(bool(full))
            worked = driver.poll(0.0 if worked else timeout, full) or worked
            incoming.released(driver.worker)
        for worker, frame in outgoing.frames(self._ports.monotonic()):
            self._links.deliver(worker, frame)
        return worked

    def fail(self, error: RayflowError) -> None:
        """Report a failure of the attempt to the coordinator, which decides what to do, and drop the attempt."""
        self._links.report(self.attempt, Failed(self.slot, error))  # first: a release may take long, or fail
        self.drop()

    def drop(self) -> None:
        """Drop the attempt. What it had not committed is lost."""
        driver, self.driver, self._outgoing, self._incoming = self.driver, None, None, None
        self._full_since = None
        if driver is not None:
            driver.close()

    @property
    def busy(self) -> bool:
        """Whether something is being written or published, or waits to be sent."""
        sending = self._outgoing is not None and self._outgoing.open
        return sending or (self.driver is not None and self.driver.writing)

    def _take(self, arrived: Message | Frame) -> None:
        if arrived.attempt > self.attempt:
            self._begin(arrived.attempt)
        if arrived.attempt < self.attempt or self.driver is None:
            return  # its attempt is over
        if isinstance(arrived, Message):
            if isinstance(arrived.body, PeerLost):
                raise WorkerLost(f"the connection to worker {arrived.body.slot} has ended", job=self._plan.name)
            self.driver.receive(arrived.body)
            return
        assert self._incoming is not None
        assert self._outgoing is not None
        for frame in self._incoming.arrive(arrived):
            if self.driver.worker is not None:  # otherwise the credit belongs to an earlier process of this slot
                self._outgoing.take(frame.sender, frame.credit)

    def _take_in(self, driver: WorkerDriver, incoming: Incoming, outgoing: Outgoing) -> bool:
        """Let tasks take events from other workers, for the duration of a turn at most. True if there were any."""
        assert driver.worker is not None
        began, worked = self._ports.monotonic(), False
        while not (driver.holds and driver.worker.sealed):
            ready = incoming.next(driver.held(outgoing.waiting))
            for arrived in ready:
                driver.work(arrived.event)
                incoming.handled(arrived, driver.worker)
            if not ready:
                break
            worked = True
            if self._ports.monotonic() - began > driver.turn:
                break
        return worked

    def _count_blocked(self, full: bool) -> None:
        """Called between turns, too: that is when a worker waits."""
        now = self._ports.monotonic()
        if self._full_since is not None:
            self.blocked += now - self._full_since
        self._full_since = now if full else None

    def _begin(self, attempt: Attempt) -> None:
        """Make ready for an attempt that is newer than any before."""
        self.attempt = attempt  # first: an error while the old one is dropped is reported for the new one
        self.drop()
        codec = Codec()
        self._outgoing = Outgoing(self.slot, attempt, self._plan, codec)
        self._incoming = Incoming(self._plan, codec, self._outgoing.give)
        self.driver = WorkerDriver(
            self._plan,
            self._options,
            self._ports,
            self._open_state,
            self.slot,
            attempt,
            tell=partial(self._links.report, attempt),
            send=self._send,
            on_epoch=self._on_epoch,
        )

    def _send(self, action: SendToWorker) -> None:
        assert self._outgoing is not None
        self._outgoing.add(action, self._ports.monotonic())
