"""The worker actors of a job: creates, watches and replaces them. Used from the coordinator's thread."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayflow.core.errors import NotEnoughResources, RayflowError, VersionMismatch, WorkerFailed, WorkerLost
from rayflow.core.ids import Attempt, WorkerId
from rayflow.core.logging import get_logger
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.channels.ordered import Ordered
from rayflow.runtimes.hosting.ports import Ports
from rayflow.runtimes.hosting.sources import Sources
from rayflow.runtimes.hosting.worker_metrics import Counts, WorkerMetrics
from rayflow.runtimes.ray.leases import LEASE, Leases
from rayflow.runtimes.ray.links.actor_links import Peers
from rayflow.runtimes.ray.spec import JobSpec
from rayflow.runtimes.ray.worker_actor import WorkerActor, WorkerStarted
from rayflow.version import __version__

log = get_logger("rayflow.coordinator")


@dataclass(slots=True)
class Member:
    """One worker process.

    Attributes:
        generation: distinguishes it from earlier workers of its slot.
        started: its report when it was ready.
        waits: since when resources may be available for it.
        heard, asked: when it last answered, and was last asked; monotonic seconds.
        attempt: the newest one of which it was told.
        told: when it was told.
    """

    slot: WorkerId
    generation: int
    actor: Any
    ready: Any
    watch: Any
    waits: float
    started: WorkerStarted | None = None
    heard: float = 0.0
    asked: float = 0.0
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    sent: int = 0
    attempt: Attempt = 0
    told: float = 0.0
    arrived: Ordered[tuple[Attempt, object]] = field(default_factory=Ordered)


class Pool:
    """Keeps one worker actor per slot. All calls return at once.

    Attributes:
        leases: asks the workers whether they are there; kept on the event loop of the actor.
        gone: counts of workers that have ended.
    """

    def __init__(self, spec: JobSpec, coordinator: Any) -> None:
        self.members: dict[WorkerId, Member] = {}
        self._spec = spec
        self._coordinator = coordinator
        self._generations = itertools.count(time.time_ns())  # unlike those of an earlier coordinator process
        self._nodes: dict[WorkerId, str] = {}
        self.leases = Leases(lambda: list(self.members.values()), spec.heartbeat_timeout)
        self.gone = Counts()
        self._posted: deque[tuple[WorkerId, int, int, Attempt, object]] = deque()
        self._introduced: Attempt = 0

    def resize(self, slots: Sequence[WorkerId]) -> None:
        """Create the missing workers of these slots."""
        for slot in slots:
            if slot not in self.members:
                self.members[slot] = self._create(slot)

    def shrink(self, slots: Sequence[WorkerId]) -> None:
        """End every worker, except those of these slots."""
        for slot in set(self.members) - set(slots):
            self._nodes.pop(slot, None)
            self.remove(slot)

    def ready(self, slots: Sequence[WorkerId]) -> bool:
        """Whether the workers of all of these slots are ready.

        Raises NotEnoughResources if one could not be placed in time, and again after each further period of that
        length; the error of a worker's start; WorkerLost.
        """
        pending = []
        for slot in slots:
            member = self.members.get(slot)
            if member is None:
                raise WorkerLost(f"worker {slot} is gone", job=self._spec.name)
            if member.started is not None:
                continue
            if not _done(member.ready):
                pending.append(member)
                continue
            member.started = self._started(member)
            member.heard = time.monotonic()
            self._nodes[slot] = member.started.node
            log.info("a worker is ready", slot=slot, host=member.started.host, pid=member.started.pid)
        now = time.monotonic()
        late = [member for member in pending if now - member.waits > self._spec.start_timeout]
        if late:
            for member in late:
                member.waits = now
            raise NotEnoughResources(self._missing(len(pending)), job=self._spec.name)
        return not pending

    def check(self) -> None:
        """Check that all workers exist. Raises WorkerLost, after removing the missing one."""
        now = time.monotonic()
        current = self.leases.current(now)
        for slot, member in list(self.members.items()):
            if member.started is None:
                continue
            if _done(member.watch):
                self.remove(slot)
                raise WorkerLost(f"worker {slot} on {member.started.host} is gone", job=self._spec.name)
            if current and (reason := self._silence(member, now)):
                self.remove(slot)
                raise WorkerLost(f"worker {slot} on {member.started.host} {reason}", job=self._spec.name)

    def _silence(self, member: Member, now: float) -> str | None:
        """Why a worker that exists is given up; None if it is not."""
        timeout = self._spec.heartbeat_timeout
        if now - member.heard > timeout:
            return f"has not answered for {now - member.heard:.0f} s"
        if member.metrics.attempt < member.attempt and now - member.told > LEASE * timeout:
            return f"has been stuck in the previous attempt for {now - member.told:.0f} s"
        return None

    def drop_lost(self) -> None:
        """Remove every worker that is known to be gone."""
        while True:
            try:
                self.check()
            except WorkerLost as error:
                log.warning("a worker is lost", job=self._spec.name, reason=error.what)
            else:
                return

    def tell(self, slot: WorkerId, attempt: Attempt, body: object) -> None:
        """Send a message to a slot's worker; it is lost if the worker is gone."""
        member = self.members.get(slot)
        if member is not None:
            member.actor.tell.options(num_returns=0).remote(member.sent, attempt, body)
            member.sent += 1
            if attempt > member.attempt:
                member.attempt, member.told = attempt, time.monotonic()

    def introduce(self, slots: Sequence[WorkerId], attempt: Attempt) -> None:
        """Tell the workers of an attempt, once, the addresses of the others. Call it before the attempt's messages."""
        if attempt == self._introduced:
            return
        self._introduced = attempt
        addresses = {slot: each.started.address for slot, each in self.members.items() if each.started is not None}
        for slot in slots:
            self.tell(slot, attempt, Peers(addresses))

    def post(self, slot: WorkerId, generation: int, number: int, attempt: Attempt, body: object) -> None:
        """Add a worker's message. From any thread."""
        self._posted.append((slot, generation, number, attempt, body))

    def messages(self) -> Iterator[tuple[WorkerId, Attempt, object]]:
        """The messages of the current workers, in order per worker."""
        while self._posted:
            slot, generation, number, attempt, body = self._posted.popleft()
            member = self.members.get(slot)
            if member is not None and member.generation == generation:
                for its_attempt, its_body in member.arrived.arrive(number, (attempt, body)):
                    yield slot, its_attempt, its_body

    def remove(self, slot: WorkerId) -> None:
        """End a worker at once, if it is reachable."""
        member = self.members.pop(slot, None)
        if member is not None:
            self.gone += member.metrics.counts
            ray.kill(member.actor, no_restart=True)

    def look(self, timeout: float) -> None:
        """Ask every worker for its metrics once more, and wait for the answers up to `timeout` seconds."""
        asked = {member.actor.ping.remote(): member for member in self.members.values() if member.started is not None}
        answered = ray.wait(list(asked), num_returns=len(asked), timeout=timeout)[0] if asked else []
        for answer in answered:
            with contextlib.suppress(ray.exceptions.RayError):  # `watch` reports it, too
                asked[answer].metrics = ray.get(answer)

    def close(self) -> None:
        """End all workers, also if one of them cannot be ended. Raises the last such error."""
        with contextlib.ExitStack() as removing:
            for slot in list(self.members):
                removing.callback(self.remove, slot)

    def _create(self, slot: WorkerId) -> Member:
        generation = next(self._generations)
        node = self._nodes.get(slot)
        strategy: Any = self._spec.strategy
        if node is not None:  # the state of its tasks is there
            strategy = NodeAffinitySchedulingStrategy(node, soft=True)
        actor: Any = (
            ray.remote(WorkerActor)
            .options(
                num_cpus=self._spec.cpus,
                scheduling_strategy=strategy,
                max_restarts=0,
                max_concurrency=1000,
                name=f"{self._spec.name}/{slot}/{generation}",
            )
            .remote(self._spec, slot, generation, self._coordinator)
        )
        return Member(slot, generation, actor, actor.ready.remote(), actor.watch.remote(), time.monotonic())

    def _started(self, member: Member) -> WorkerStarted:
        self._nodes.pop(member.slot, None)  # whatever happens, the next one may start on another node
        try:
            started: WorkerStarted = ray.get(member.ready)
        except ray.exceptions.RayTaskError as error:
            self.remove(member.slot)
            cause = error.cause
            if isinstance(cause, RayflowError):
                raise cause from None
            raise WorkerFailed(f"worker {member.slot} could not start: {_line(cause)}", job=self._spec.name) from None
        except ray.exceptions.RayError as error:
            self.remove(member.slot)
            text = f"worker {member.slot} could not start: {_line(error)}"
            if isinstance(error, ray.exceptions.RuntimeEnvSetupError) or "creation task" in str(error):
                raise WorkerFailed(text, job=self._spec.name) from None
            raise WorkerLost(text, job=self._spec.name) from None  # killed, or its node is gone: another one may start
        if started.version != __version__:
            self.remove(member.slot)
            raise VersionMismatch(f"{started.host} has rayflow {started.version}, the coordinator {__version__}")
        return started

    def _missing(self, pending: int) -> str:
        free, have = cpus()
        return (
            f"{pending} of {len(self.members)} workers could not be placed within {self._spec.start_timeout:.0f} s: "
            f"each needs {self._spec.cpus:g} CPU, and {free:g} of the cluster's {have:g} are free"
        )


def cpus() -> tuple[float, float]:
    """Free CPUs of the cluster, and all CPUs."""
    known: Any = ray
    return known.available_resources().get("CPU", 0.0), known.cluster_resources().get("CPU", 0.0)


def default_workers(plan: JobPlan, ports: Ports, cpus_each: float) -> int:
    """One worker per partition of the widest source, as far as CPUs are free. Raises UnknownTopic,
    BrokerUnavailable."""
    widest = max(Sources(plan, ports).partitions().values(), default=1)
    free, _ = cpus()
    return max(1, min(widest, int(free // cpus_each) if cpus_each else widest))


def _done(ref: Any) -> bool:
    return bool(ray.wait([ref], timeout=0)[0])


def _line(error: BaseException) -> str:
    """The last line of an error, which may contain whole tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"
