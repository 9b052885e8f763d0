"""The sinks of a run: one publisher per connector, for the one worker slot of this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rayflow.connectors.base import Publisher, Sink, TopicAdmin
from rayflow.connectors.parts import as_sink
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Marker, SinkTask, WorkerId
from rayflow.core.topics import ConnectorSpec, TopicRef
from rayflow.engine.topology import Topology
from rayflow.plan.physical import JobPlan
from rayflow.plan.systems import Accepting
from rayflow.runtimes.hosting.ports import Connectors
from rayflow.runtimes.hosting.sources import Sources
from rayflow.serde.base import Serde


def accepting_serdes(connectors: Connectors) -> Accepting:
    """The sinks' serdes, as the run's connectors adapt them."""

    def accepting(topic: TopicRef, serde: Serde[Any]) -> Serde[Any]:
        connector = connectors.of(topic)
        return connector.accepting(serde) if isinstance(connector, Sink) else serde  # `create_topics` refuses others

    return accepting


class Sinks:
    """Publishes the output of all sink tasks on one thread."""

    def __init__(self, plan: JobPlan, connectors: Connectors) -> None:
        self._plan = plan
        self._connectors = connectors
        self._topics: dict[str, tuple[TopicRef, str]] = {
            sink.operator: (sink.topic, stage.id) for stage in plan.stages for sink in stage.sinks
        }
        self._publishers: dict[ConnectorSpec, Publisher] = {}

    def create_topics(self, topology: Topology) -> list[str]:
        """Create the missing topics, with a partition per sink task, if the connector supports it. Returns their names.

        Raises ConnectorCannot if a topic is on a connector that the job cannot write.
        """
        made: list[str] = []
        for topic, stage in self._topics.values():
            sink = as_sink(self._connectors.of(topic), self._plan.delivery)
            if isinstance(sink, TopicAdmin) and sink.ensure(topic.name, topology.stages[stage]):
                made.append(topic.name)
        return made

    def open(self, slot: WorkerId, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Fence earlier publishers of `slot` on every connector that has a sink, and read the markers."""
        markers: dict[SinkTask, Marker | None] = {}
        for spec, tasks in self._by_connector(sinks).items():
            if self._plan.delivery == "at_least_once" and tasks and self._keeps_markers(spec):
                # The last checkpoint has exactly-once output: its publisher must be fenced, and its markers count.
                earlier = self._make(spec, slot, "exactly_once")
                try:
                    markers.update(earlier.open(tasks))
                finally:
                    earlier.close()
                tasks = []
            markers.update(self._publisher(spec, slot).open(tasks))
        return markers

    def look(self, slot: WorkerId, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Read the markers without fencing any publisher."""
        markers: dict[SinkTask, Marker | None] = {}
        for spec, tasks in self._by_connector(sinks).items():
            markers.update(self._publisher(spec, slot).markers(tasks))
        return markers

    def _keeps_markers(self, spec: ConnectorSpec) -> bool:
        return as_sink(self._connectors.open(spec), self._plan.delivery).exactly_once

    def _publisher(self, spec: ConnectorSpec, slot: WorkerId) -> Publisher:
        if spec not in self._publishers:
            self._publishers[spec] = self._make(spec, slot, self._plan.delivery)
        return self._publishers[spec]

    def _make(self, spec: ConnectorSpec, slot: WorkerId, delivery: str) -> Publisher:
        topics = {op: topic.name for op, (topic, _) in self._topics.items() if self._connectors.spec(topic) == spec}
        return as_sink(self._connectors.open(spec), delivery).publisher(self._plan.name, slot, delivery, topics)

    def _by_connector(self, sinks: Sequence[SinkTask]) -> dict[ConnectorSpec, list[SinkTask]]:
        """The sink tasks of each connector that has a sink, without those of removed operators."""
        found: dict[ConnectorSpec, list[SinkTask]] = {
            self._connectors.spec(topic): [] for topic, _ in self._topics.values()
        }
        for sink in sinks:
            if sink.operator in self._topics:
                found[self._connectors.spec(self._topics[sink.operator][0])].append(sink)
        return found

    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[tuple[str, int], int],
        sources: Sources,
    ) -> Iterator[str]:
        """Publish an epoch, one connector after the other, each in one atomic step. Yields the names of the steps."""
        if self._plan.delivery == "at_least_once":  # there is output only if the checkpoint had exactly-once delivery
            for sink, batches in outputs.items():
                self.append(sink, batches)
            yield from self.flush()
            sources.commit(positions, marker.epoch, set())
            return
        for spec, publisher in self._publishers.items():
            mine = {
                sink: batches
                for sink, batches in outputs.items()
                if self._connectors.spec(self._topics[sink.operator][0]) == spec
            }
            yield from publisher.publish(marker, mine, sources.of_connector(spec, positions))
        sources.commit(positions, marker.epoch, set(self._publishers))

    def append(self, sink: SinkTask, batches: Sequence[EncodedBatch]) -> None:
        """At-least-once: pass records on at once."""
        self._publishers[self._connectors.spec(self._topics[sink.operator][0])].append(batches)

    def flush(self) -> Iterator[str]:
        """At-least-once: iterate until everything appended is durable."""
        for publisher in self._publishers.values():
            yield from publisher.flush()

    @property
    def outage(self) -> str | None:
        """Why publishing waits, while a system is unavailable."""
        return next((outage for publisher in self._publishers.values() if (outage := publisher.outage)), None)

    def settle(self) -> None:
        """Wait until readers see everything that was published, for some seconds at most."""
        for publisher in self._publishers.values():
            publisher.settle()

    def close(self) -> None:
        """Close the publishers."""
        for publisher in self._publishers.values():
            publisher.close()
        self._publishers.clear()
