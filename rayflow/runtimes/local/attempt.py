"""One attempt in one process: a coordinator and its one worker, who talk by calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import Clock
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WorkerId
from rayflow.core.logging import get_logger
from rayflow.engine.actions import SendToWorker
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.events import CoordinatorEvent, StopRequested
from rayflow.engine.orders import FinishAttempt
from rayflow.engine.topology import Topology
from rayflow.engine.worker import Worker
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.connectors import Connectors
from rayflow.runtimes.epoch_times import EpochTimes
from rayflow.runtimes.hosted_coordinator import HostedCoordinator
from rayflow.runtimes.hosted_worker import HostedWorker
from rayflow.runtimes.local.hosting import Hosting
from rayflow.runtimes.local.sinks import Sinks
from rayflow.runtimes.local.sources import Sources
from rayflow.runtimes.messages import Ends
from rayflow.runtimes.options import RunOptions

log = get_logger("rayflow.local")

SLOT = 0
"""The one worker of this process."""
IDLE_WAIT = 0.01
"""How long a poll waits for records when there is nothing else to do, in seconds."""
BUSY_WAIT = 0.001
"""How long it waits while something is being written or published."""


class Attempt:
    """Runs one attempt on the calling thread until it is finished or fails.

    `ends`: see HostedCoordinator.
    `on_step` is told, before and after, of everything that is done to the outside world: crash tests kill there.
    `on_epoch` is told of each epoch that is done.
    """

    def __init__(
        self,
        plan: JobPlan,
        options: RunOptions,
        coordinator: Coordinator,
        hosting: Hosting,
        sources: Sources,
        connectors: Connectors,
        store: CheckpointStore,
        *,
        ends: Ends,
        clock: Clock,
        on_step: Callable[[str], None],
        on_epoch: Callable[[EpochTimes], None],
    ) -> None:
        self._plan = plan
        self._connectors = connectors
        self._hosted = HostedCoordinator(
            plan,
            coordinator,
            (SLOT,),
            store,
            retain=options.retain,
            clock=clock,
            earlier={},
            ends=ends,
            send=self._to_worker,
            create_topics=self._create_topics,
            on_step=on_step,
        )
        self._worker = HostedWorker(
            plan,
            options,
            SLOT,
            hosting,
            sources,
            partial(Sinks, plan, connectors),
            store,
            clock=clock,
            tell=self._hosted.receive,
            send=_nobody_else,
            on_step=on_step,
            on_epoch=on_epoch,
        )

    def start(self) -> None:
        """Begin; `step` until `finished`."""
        self._hosted.start()

    def step(self) -> None:
        """One turn: records, clock, and a slice of everything that is under way."""
        worked = self._hosted.step()
        worked = self._worker.step() or worked
        if self._hosted.finished is not None:
            return
        wait = 0.0 if worked else BUSY_WAIT if self._worker.under_way else IDLE_WAIT
        if not self._worker.reads or self.coordinator.final_barrier_sent:
            self._worker.wait(wait)
        else:
            self._worker.poll(wait)

    def stop(self) -> None:
        """Ask for a last checkpoint and the end."""
        self.tell(StopRequested())

    def tell(self, event: CoordinatorEvent) -> None:
        """Tell the coordinator something from outside (a topic has gained partitions)."""
        self._hosted.tell(event)

    @property
    def coordinator(self) -> Coordinator:
        """The attempt's coordinator."""
        return self._hosted.coordinator

    @property
    def worker(self) -> Worker | None:
        """The one worker, once its tasks are started."""
        return self._worker.worker

    @property
    def sources(self) -> Sources:
        """What it reads."""
        return self._worker.sources

    @property
    def manifest(self) -> Manifest | None:
        """The newest manifest."""
        return self._hosted.manifest

    @property
    def finished(self) -> FinishAttempt | None:
        """Set once the attempt is over."""
        return self._hosted.finished

    @property
    def outage(self) -> str | None:
        """Why the attempt waits, while a system is out of reach."""
        return self._worker.outage

    def close(self) -> None:
        """Let go of everything; what is under way is dropped."""
        self._worker.close()
        self._hosted.close()

    def _to_worker(self, slot: WorkerId, message: object) -> None:
        self._worker.attempt = self._hosted.coordinator.attempt
        self._worker.receive(message)

    def _create_topics(self, topology: Topology) -> None:
        for topic in Sinks(self._plan, self._connectors).create_topics(topology):
            log.info("created a topic", job=self._plan.name, topic=topic)


def _nobody_else(action: SendToWorker) -> None:
    raise InvariantBroken(f"task {action.task} is hosted elsewhere, in a runtime of one process")
