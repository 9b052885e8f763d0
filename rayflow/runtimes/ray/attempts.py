"""What an attempt of a job on a cluster begins with."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.clock import system_clock
from rayflow.core.ids import TaskId, WorkerId
from rayflow.core.logging import get_logger
from rayflow.engine.coordinator import Coordinator
from rayflow.engine.coordinator_options import CoordinatorOptions
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.connectors import Connectors
from rayflow.runtimes.hosted_coordinator import HostedCoordinator
from rayflow.runtimes.local.sinks import Sinks
from rayflow.runtimes.local.sources import Sources
from rayflow.runtimes.messages import Ends
from rayflow.runtimes.ray.pool import cpus
from rayflow.runtimes.ray.spec import JobSpec

log = get_logger("rayflow.coordinator")


class Attempts:
    """Makes the coordinator of each attempt of one job."""

    def __init__(
        self, spec: JobSpec, plan: JobPlan, store: CheckpointStore, connectors: Connectors, wake: Callable[[], None]
    ) -> None:
        """`wake`: see HostedCoordinator."""
        self._wake = wake
        self._spec = spec
        self._plan = plan
        self._store = store
        self._connectors = connectors
        self._ends: Ends = {}

    def sources(self) -> Sources:
        """The job's sources, to be looked at."""
        return Sources(self._plan, self._connectors)

    def coordinator(
        self,
        slots: tuple[WorkerId, ...],
        sources: Sources,
        *,
        earlier: Mapping[TaskId, WorkerId],
        send: Callable[[WorkerId, object], None],
        on_commit: Callable[[Manifest], None],
    ) -> HostedCoordinator:
        """The next attempt's, not started yet. Raises BrokerUnavailable, UnknownTopic."""
        plan, options = self._plan, self._spec.options
        coordinator = Coordinator(
            plan,
            sources.partitions(),
            CoordinatorOptions(
                lineage=uuid.uuid4().hex,
                interval=options.checkpoint_interval or plan.checkpoint_interval,
                workers=slots,
                drop_state=options.drop_state,
                allow_new_partitions=options.allow_new_partitions,
                systems=sources.systems(),
                new_lineage=options.new_lineage,
                lost_marker=options.lost_marker,
            ),
        )
        return HostedCoordinator(
            plan,
            coordinator,
            slots,
            self._store,
            retain=options.retain,
            clock=system_clock,
            earlier=earlier,
            ends=self._ends,
            send=send,
            create_topics=self._create_topics,
            on_commit=on_commit,
            wake=self._wake,
        )

    def default_workers(self) -> int:
        """A worker per partition of the widest source, as long as CPUs last. Raises as `coordinator` does."""
        widest = max(self.sources().partitions().values(), default=1)
        free, _ = cpus()
        return max(1, min(widest, int(free // self._spec.cpus) if self._spec.cpus else widest))

    def _create_topics(self, topology: Topology) -> None:
        sinks = Sinks(self._plan, self._connectors)
        for topic in sinks.create_topics(topology):
            log.info("created a topic", job=self._spec.name, topic=topic)
        sinks.close()
