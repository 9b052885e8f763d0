"""What is done to a job on a Ray cluster, and how long it takes until it commits again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress

from confluent_kafka import KafkaException

from rayflow.core.errors import RayflowError
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray.client import JobHandle
from tests.kafka.broker import Broker
from tests.ray.following import SpreadFollower
from tests.ray.machines import Machines
from tests.soak.transactions import TOPIC, Transactions
from tests.soak.wrong import Wrong

STALLED = 180.0
"""Seconds within which a job commits again after a fault."""
GROUPS = ("soak", "soak-markers")
"""The groups in which the job commits positions and markers."""
SIZES = (4, 1, 3, 2)
"""Workers, one rescale after the other."""


class Faults:
    """Brings faults over a job that runs, one after the other.

    Attributes:
        recoveries: by kind, seconds from the fault to the first commit after it; None when the job had nothing to do.
    """

    def __init__(
        self,
        machines: Machines,
        job: JobHandle,
        broker: Broker,
        follower: SpreadFollower,
        chance: random.Random,
        heartbeat: float,
    ) -> None:
        self.recoveries: dict[str, list[float | None]] = defaultdict(list)
        self._machines = machines
        self._job = job
        self._broker = broker
        self._follower = follower
        self._chance = chance
        self._heartbeat = heartbeat
        self._rescales = 0
        self._transactions: Transactions | None = None
        self._kinds: dict[str, Callable[[JobStatus], None]] = {
            "worker killed": self._kill_worker,
            "coordinator killed": self._kill_coordinator,
            "worker and coordinator killed": self._kill_both,
            "worker stopped and continued": self._stop_worker,
            "node lost": self._lose_node,
            "broker restarted": self._restart_broker,
            "rescaled": self._rescale,
        }

    def bring(self, faults: int, until: float) -> Iterator[str]:
        """Bring so many, unless it is `until` (monotonic) before; gives each kind when the job has recovered."""
        deck: list[str] = []
        for _ in range(faults):
            if time.monotonic() >= until:
                return
            if not deck:
                deck = self._chance.sample(sorted(self._kinds), len(self._kinds))
            kind = deck.pop()
            self._bring(kind)
            yield kind

    def _bring(self, kind: str) -> None:
        before = self._running()
        self._wait(self._chance.uniform(0.5, 3.0))
        self._wait_until(lambda: self._follower.unread, 5.0)  # else there is nothing to commit
        before = self._running()
        busy, began = self._follower.unread > 0, time.monotonic()
        self._kinds[kind](before)
        if kind == "broker restarted":
            began = time.monotonic()
            self._follower.moved = began
        marked = self._commits()
        took = self._recovered(kind, before, marked) - began
        self.recoveries[kind].append(took if busy else None)

    def _recovered(self, kind: str, before: JobStatus, marked: int) -> float:
        """When the first commit after the fault was."""
        limit = time.monotonic() + STALLED
        while True:
            self._check(limit)
            try:
                status = self._job.status()
            except RayflowError:  # its coordinator is just coming back
                continue
            if status.state == "failed":
                raise Wrong(f"the job has failed: {status.cause}")
            if status.pid != before.pid:
                committed = bool(status.recoveries)
            elif kind in ("broker restarted", "rescaled"):
                committed = status.epoch > marked
            else:
                committed = len(status.recoveries) > len(before.recoveries)
            if committed and status.state == "running":
                return time.monotonic()
            time.sleep(0.02)

    def _commits(self) -> int:
        with suppress(RayflowError):
            return self._job.status().epoch
        return 0

    def _running(self) -> JobStatus:
        limit = time.monotonic() + STALLED
        while True:
            self._check(limit)
            status = self._job.status()
            if status.state == "running" and status.workers:
                return status
            time.sleep(0.05)

    def _check(self, limit: float) -> None:
        if self._follower.wrong is not None:
            raise self._follower.wrong
        if time.monotonic() > limit:
            raise Wrong(f"the job has not recovered within {STALLED:.0f} s: {self._job.status()}")

    def _wait(self, seconds: float) -> None:
        self._wait_until(lambda: False, seconds)

    def _wait_until(self, done: Callable[[], object], seconds: float) -> None:
        limit = time.monotonic() + seconds
        while not done() and time.monotonic() < limit:
            self._check(limit + 1.0)
            time.sleep(0.02)

    def _kill_worker(self, status: JobStatus) -> None:
        _signal(self._chance.choice(status.workers).pid, signal.SIGKILL)

    def _kill_coordinator(self, status: JobStatus) -> None:
        _signal(status.pid, signal.SIGKILL)

    def _kill_both(self, status: JobStatus) -> None:
        self._kill_worker(status)
        self._kill_coordinator(status)

    def _stop_worker(self, status: JobStatus) -> None:
        """A zombie: it goes on when it has been given up, shortly before or after it is replaced."""
        pid = self._chance.choice(status.workers).pid
        _signal(pid, signal.SIGSTOP)
        self._wait(self._heartbeat + self._chance.uniform(0.2, 3.0))
        _signal(pid, signal.SIGCONT)

    def _lose_node(self, status: JobStatus) -> None:
        """One that has a worker, else any; another comes at once."""
        used = {worker.node for worker in status.workers}
        nodes = [node for node in self._machines.nodes if node.node_id in used] or self._machines.nodes
        self._machines.lose(self._chance.choice(nodes))
        self._machines.add()

    def _rescale(self, status: JobStatus) -> None:
        workers = SIZES[self._rescales % len(SIZES)]
        self._rescales += 1
        found = self._job.rescale(workers)
        if len(found.workers) != workers:
            raise Wrong(f"rescaled to {workers}, {len(found.workers)} are there")

    def _restart_broker(self, _: JobStatus) -> None:
        """Not while a transaction is on its way: `Kafka.settle` tells what a lone node may forget then."""
        limit = time.monotonic() + STALLED
        while not self._stop_quiet_broker():
            self._check(limit)
        self._wait(self._chance.uniform(0.0, 3.0))
        self._broker.start()

    def _stop_quiet_broker(self) -> bool:
        self._is_quiet(time.monotonic())  # so that the next look has little to read
        pids = [worker.pid for worker in self._running().workers]
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        try:
            if not self._is_quiet(time.monotonic() + 1.0):
                return False
            self._broker.stop()
            return True
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)

    def _is_quiet(self, limit: float) -> bool:
        if self._transactions is None:
            if not self._broker.partitions(TOPIC):
                return False
            self._transactions = Transactions(self._broker)
        while True:
            with suppress(KafkaException):
                ended = all(self._transactions.look().values())
                if ended and all(self._broker.decided(group) for group in GROUPS):
                    return True
            if time.monotonic() >= limit:
                return False

    def close(self) -> None:
        """Let go of what was needed."""
        if self._transactions is not None:
            self._transactions.close()


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
