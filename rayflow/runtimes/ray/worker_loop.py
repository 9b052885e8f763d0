"""The thread of a worker process: one attempt after the other, records, messages and frames in turn."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import system_clock
from rayflow.core.errors import InvariantBroken, RayflowError, WorkerLost
from rayflow.core.ids import Attempt, TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.core.topics import ConnectorSpec
from rayflow.engine.actions import SendToWorker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.connectors import Connectors
from rayflow.runtimes.epoch_times import EpochTimes
from rayflow.runtimes.garbage import collected_seldom
from rayflow.runtimes.hosted_worker import HostedWorker
from rayflow.runtimes.local.hosting import Hosting
from rayflow.runtimes.local.sinks import Sinks
from rayflow.runtimes.local.sources import Sources
from rayflow.runtimes.messages import Failed
from rayflow.runtimes.ray.inbox import Inbox
from rayflow.runtimes.ray.journal import Journal, LogLines
from rayflow.runtimes.ray.metrics import figures
from rayflow.runtimes.ray.node_state import NodeState
from rayflow.runtimes.ray.outbox import Frame, Outbox
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.vitals import Vitals, counted, look
from rayflow.serde.codec import Codec

log = get_logger("rayflow.worker")

LEASE = 3.0
"""Heartbeat timeouts without a question of the coordinator after which a worker ends itself: it has been given up, and
Ray may not know that its process is there (it outlives its node's raylet). And those that it gets to leave an attempt
that is over: a function that hangs, or a store, keeps its thread there."""
LOOK_EVERY = 0.5
"""Seconds between two looks at the vitals."""
ENDS_EVERY = 5.0
"""Seconds between two looks at the ends of the sources."""
BUSY_WAIT = 0.001
IDLE_WAIT = 0.02
"""Seconds that a turn without work waits for a message: at least while something is written, at most when idle."""


class Links(Protocol):
    """How a worker reaches others. Calls return at once; what cannot be delivered is lost with its attempt."""

    def report(self, attempt: Attempt, message: object) -> None:
        """Tell the coordinator, in order."""

    def deliver(self, worker: WorkerId, frame: Frame) -> None:
        """Send to another worker of the attempt."""


@dataclass(frozen=True, slots=True)
class Message:
    """From the coordinator, of one attempt."""

    attempt: Attempt
    body: object


@dataclass(frozen=True, slots=True)
class LineLost:
    """The connection to another worker of the attempt has ended."""

    slot: WorkerId


class WorkerLoop:
    """Hosts a slot. `post` from any thread what came for it; `run` on a thread of its own, until `close`.

    A message of a newer attempt ends the one before: its publishers, readers and tasks are let go of, the tasks' local
    stores stay where they are.
    """

    def __init__(
        self, spec: JobSpec, plan: JobPlan, store: CheckpointStore, slot: WorkerId, links: Links, journal: Journal
    ) -> None:
        self.vitals = Vitals()
        self._spec = spec
        self._plan = plan
        self._store = store
        self._slot = slot
        self._links = links
        self._journal = journal
        self._state = NodeState(spec.options.state, spec.name)
        self._connectors = Connectors(ConnectorSpec(spec.broker, tuple(sorted(spec.options.broker_config.items()))))
        self._posted: deque[Message | Frame] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._attempt: Attempt = 0
        self._hosted: HostedWorker | None = None
        self._outbox: Outbox | None = None
        self._inbox: Inbox | None = None
        self._before = (0, 0, 0)
        self._next_look = 0.0
        self._next_ends = 0.0
        self._worked = 0.0
        self._blocked = 0.0
        self._looked = time.monotonic()
        self._asked = time.monotonic()

    def post(self, arrived: Message | Frame) -> None:
        """Hand over what came. From any thread."""
        self._posted.append(arrived)
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
                    log.error("the coordinator is silent: this process ends itself", job=self._spec.name)
                    os._exit(1)
                if self._guarded(self._turn):
                    idle = BUSY_WAIT
                    self._worked += time.monotonic() - began
                    continue
                under_way = self._hosted is not None and (self._hosted.under_way or self._outbox_open)
                self._wake.wait(BUSY_WAIT if under_way else idle)
                self._wake.clear()
                idle = min(idle * 2, IDLE_WAIT)
        self._drop()
        self._connectors.close()

    @property
    def _outbox_open(self) -> bool:
        return self._outbox is not None and self._outbox.open

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
        attempt = self._attempt
        self._drop()
        self._send_log()
        self._links.report(attempt, Failed(self._slot, error))

    def _turn(self) -> bool:
        worked = False
        while self._posted:
            worked = True
            self._take(self._posted.popleft())
        hosted, outbox, inbox = self._hosted, self._outbox, self._inbox
        if hosted is None or outbox is None or inbox is None:
            return worked
        worked = hosted.step() or worked
        if hosted.worker is not None:
            full: Collection[TaskId] = hosted.worker.waiting(outbox.waiting) if outbox.waiting else ()
            began = time.monotonic()
            if not (hosted.holds and hosted.worker.sealed):
                worked = self._take_in(hosted, inbox, full) or worked
            worked = hosted.poll(0.0, full) or worked
            inbox.released(hosted.worker)
            if full:
                self._blocked += time.monotonic() - began if worked else 0.0
        now = time.monotonic()
        for worker, frame in outbox.frames(now):
            self._links.deliver(worker, frame)
        self._look(now)
        return worked

    def _take(self, arrived: Message | Frame) -> None:
        if arrived.attempt > self._attempt:
            self._begin(arrived.attempt)
        if arrived.attempt < self._attempt or self._hosted is None:
            return  # of an attempt that is over
        if isinstance(arrived, Message):
            if isinstance(arrived.body, LineLost):
                raise WorkerLost(f"the connection to worker {arrived.body.slot} has ended", job=self._spec.name)
            self._hosted.receive(arrived.body)
            return
        assert self._inbox is not None
        assert self._outbox is not None
        for frame in self._inbox.arrive(arrived):
            self._outbox.take(frame.sender, frame.credit)

    def _take_in(self, hosted: HostedWorker, inbox: Inbox, full: Collection[TaskId]) -> bool:
        assert hosted.worker is not None
        ready = inbox.next(full)
        for arrived in ready:
            hosted.work(arrived.event)
            inbox.handled(arrived, hosted.worker)
        return bool(ready)

    def _begin(self, attempt: Attempt) -> None:
        """Make ready for an attempt that is newer than any before."""
        self._drop()
        self._attempt = attempt
        codec = Codec()
        plan, options = self._plan, self._spec.options
        hosting = Hosting(plan, self._store, self._state.open, clock=system_clock, memory_limit=options.memory_limit)
        self._outbox = Outbox(self._slot, attempt, plan, codec)
        self._inbox = Inbox(plan, codec, self._outbox.give)
        self._hosted = HostedWorker(
            plan,
            options,
            self._slot,
            hosting,
            Sources(plan, self._connectors),
            partial(Sinks, plan, self._connectors),
            self._store,
            clock=system_clock,
            tell=partial(self._links.report, attempt),
            send=self._send,
            on_epoch=self._on_epoch,
        )
        self._hosted.attempt = attempt
        self.vitals = replace(self.vitals, attempt=attempt)

    def _on_epoch(self, _times: EpochTimes) -> None:
        self._next_look = 0.0

    def _send(self, action: SendToWorker) -> None:
        assert self._outbox is not None
        self._outbox.add(action, time.monotonic())

    def _drop(self) -> None:
        """End the attempt; what it had not committed is gone."""
        hosted, self._hosted, self._outbox, self._inbox = self._hosted, None, None, None
        if hosted is not None:
            before, more = self._before, counted(hosted)
            self._before = (before[0] + more[0], before[1] + more[1], before[2] + more[2])
            hosted.close()

    def _look(self, now: float) -> None:
        if now < self._next_look or self._hosted is None:
            return
        self._next_look = now + LOOK_EVERY
        if now >= self._next_ends and self._hosted.worker is not None:
            self._next_ends = now + ENDS_EVERY
            self._look_at_ends()
        passed = max(now - self._looked, 1e-9)
        vitals = look(self._hosted)
        if self._spec.metrics_port is not None:
            vitals.figures = figures(self._hosted)
        vitals.records_in += self._before[0]
        vitals.records_out += self._before[1]
        vitals.errors += self._before[2]
        vitals.busy, vitals.backpressured = min(1.0, self._worked / passed), min(1.0, self._blocked / passed)
        vitals.queued = 0 if self._inbox is None else self._inbox.waiting
        self._worked = self._blocked = 0.0
        self._looked = now
        self.vitals = vitals
        self._send_log()

    def _send_log(self) -> None:
        if lines := self._journal.take():
            self._links.report(self._attempt, LogLines(lines))

    def _look_at_ends(self) -> None:
        assert self._hosted is not None
        try:
            self._hosted.sources.look_at_ends(timeout=1.0)
        except RayflowError as error:  # what ends the job is met, and told with its place, by who reads
            log.debug("the lag is not known", reason=error.what)
