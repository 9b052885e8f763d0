"""The sources of a run: one reader per connector, and the task that owns each partition."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Mapping

from rayflow.connectors.base import Reader
from rayflow.connectors.parts import as_source
from rayflow.core.batch import Batch
from rayflow.core.errors import RayflowError, SourceDataLost
from rayflow.core.ids import Epoch, TaskId, TopicPartition
from rayflow.core.logging import get_logger
from rayflow.core.topics import ConnectorSpec
from rayflow.engine.events import Listened, RecordsPolled
from rayflow.engine.recovery import continues
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.listening import Listening
from rayflow.runtimes.hosting.ports import Ports

log = get_logger("rayflow.worker")


class Sources:
    """Reads the source partitions of a worker's tasks, on the worker's thread."""

    def __init__(self, plan: JobPlan, ports: Ports) -> None:
        self._plan = plan
        self._listening = Listening(plan, ports.clock)
        self._full = False
        self._stop_at: dict[tuple[str, int], int] = {}
        self._connectors = ports.connectors
        self._readers: dict[ConnectorSpec, Reader] = {}
        self._owners: dict[ConnectorSpec, dict[TopicPartition, tuple[TaskId, str]]] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self.positions: dict[tuple[str, int], int] = {}

    def partitions(self) -> dict[str, int]:
        """The current number of partitions of each source. Raises UnknownTopic, BrokerUnavailable,
        AuthenticationFailed."""
        return {
            source.id: as_source(self._connectors.of(source.topic)).partitions(source.topic.name)
            for stage in self._plan.stages
            for source in stage.sources
        }

    def systems(self) -> dict[str, str]:
        """The identity of each source's topic and its system. Raises UnknownTopic, BrokerUnavailable,
        AuthenticationFailed."""
        return {
            source.id: as_source(self._connectors.of(source.topic)).identity(source.topic.name)
            for stage in self._plan.stages
            for source in stage.sources
        }

    def place(self, partitions: Mapping[str, int]) -> None:
        """Assign each source partition to its task. `partitions`: the number of partitions of each source."""
        self._owners.clear()
        for stage in self._plan.stages:
            for source in stage.sources:
                owners = self._owners.setdefault(self._connectors.spec(source.topic), {})
                for p in range(partitions[source.id]):
                    owners[TopicPartition(source.topic.name, p)] = (TaskId(stage.id, p), source.id)

    def start(
        self, positions: Mapping[tuple[str, int], int], tasks: Container[TaskId], systems: Mapping[str, str]
    ) -> None:
        """Read the partitions of `tasks`, each from its position or, without one, from its beginning.

        `systems`: the identities when the attempt began. Raises SourceDataLost if one has changed since then.
        """
        self.positions = dict(positions)
        for spec, owners in self._owners.items():
            mine = {
                partition: positions.get((source, task.partition))
                for partition, (task, source) in owners.items()
                if task in tasks
            }
            if mine:
                reader = as_source(self._connectors.open(spec)).reader(self._plan.name)
                self._readers[spec] = reader
                reader.assign(mine)
        for source, identity in self.systems().items():
            if not continues(systems[source], identity):
                raise SourceDataLost(
                    "The topic was recreated, or its files were moved, while the job started",
                    job=self._plan.name,
                    topic=source,
                    advice="Start the job again",
                )

    def poll(self, max_records: int, timeout: float) -> list[RecordsPolled]:
        """The records that have arrived; waits up to `timeout` seconds when there are none. None beyond a fixed end."""
        events: list[RecordsPolled] = []
        self._listening.on_poll()
        for spec, reader in self._readers.items():
            owners = self._owners[spec]
            for polled in reader.poll(max_records, 0.0 if events else timeout):
                task, source = owners[TopicPartition(*polled.batch.origin)]
                key = source, task.partition
                batch, position = polled.batch, polled.next_position
                if position > (end := self._stop_at.get(key, position)):
                    if self.positions.get(key, 0) >= end:
                        continue
                    batch, position = _before(end, batch, position)
                self.positions[key] = position
                events.append(RecordsPolled(task, source, batch, position))
        self._full = sum(len(event.batch) for event in events) >= max_records
        if self.outage is not None:
            self._listening.on_break()
        return events

    @property
    def listened(self) -> Listened | None:
        """The period in which the job listened to the sources, to find the idle ones; None if no source can be idle."""
        if not self._listening.wanted:
            return None
        waiting = [
            (task, source)
            for owners in self._owners.values()
            for task, source in owners.values()
            if self._waits((source, task.partition))
        ]
        return Listened(self._listening.since, self._listening.until, frozenset(waiting))

    def _waits(self, key: tuple[str, int]) -> bool:
        """Whether records of a partition are known to wait. As long as an end is unknown, a full poll may have left
        records of any partition."""
        end = self._ends.get(key)
        return self._full if end is None else self.positions.get(key, 0) < end

    @property
    def any(self) -> bool:
        """Whether there is a partition to read."""
        return bool(self._readers)

    def hold(self) -> None:
        """Deliver nothing until `release`."""
        self._listening.on_break()
        for reader in self._readers.values():
            reader.pause()

    def release(self) -> None:
        """Deliver again."""
        for reader in self._readers.values():
            reader.resume()

    def look_at_ends(self, timeout: float) -> None:
        """Read the end positions of all partitions whose end is not fixed. Raises BrokerUnavailable after `timeout`
        seconds."""
        for spec, reader in self._readers.items():
            for partition, end in reader.ends(timeout).items():
                task, source = self._owners[spec][partition]
                key = source, task.partition
                self._ends[key] = self._stop_at.get(key, end)

    def refresh_ends(self) -> None:
        """Read the ends for the lag, if they can be read within a second. Fatal errors are left to the reader."""
        try:
            self.look_at_ends(timeout=1.0)
        except RayflowError as error:
            log.debug("the lag is unknown", reason=error.what)

    def fix_ends(self, known: Mapping[tuple[str, int], int], timeout: float) -> dict[tuple[str, int], int]:
        """Fix the ends of a bounded run: the current ones, except those that earlier attempts have fixed.

        Raises BrokerUnavailable after `timeout` seconds.
        """
        self.look_at_ends(timeout)
        self._stop_at = {key: known.get(key, end) for key, end in self._ends.items()}
        self._ends.update(self._stop_at)  # what comes after them is no lag, and nothing waits there
        return dict(self._stop_at)

    @property
    def lag(self) -> int | None:
        """Positions between the read ones and the last known ends; None before the ends were read."""
        if not self._ends:
            return None
        return sum(max(0, end - self.positions.get(key, 0)) for key, end in self._ends.items())

    def lags(self) -> list[tuple[str, int, int]]:
        """Topic, partition and lag of every source partition whose end is known."""
        return [
            (partition.topic, partition.partition, max(0, end - self.positions.get(key, 0)))
            for owners in self._owners.values()
            for partition, (task, source) in owners.items()
            if (end := self._ends.get(key := (source, task.partition))) is not None
        ]

    @property
    def exhausted(self) -> bool:
        """Whether everything up to the fixed ends was read."""
        return all(self.positions.get(key, 0) >= end for key, end in self._stop_at.items())

    def commit(self, positions: Mapping[tuple[str, int], int], epoch: Epoch, published: set[ConnectorSpec]) -> None:
        """Show positions to the connectors whose publishers have not committed them already."""
        for spec, reader in self._readers.items():
            if spec not in published:
                reader.commit(self.of_connector(spec, positions), epoch)

    def of_connector(self, spec: ConnectorSpec, positions: Mapping[tuple[str, int], int]) -> dict[TopicPartition, int]:
        """The `positions` of one connector, by its own names."""
        return {
            partition: positions[source, task.partition]
            for partition, (task, source) in self._owners.get(spec, {}).items()
            if (source, task.partition) in positions
        }

    @property
    def outage(self) -> str | None:
        """Why nothing arrives, while a system is unavailable."""
        return next((outage for reader in self._readers.values() if (outage := reader.outage)), None)

    def close(self) -> None:
        """Close the readers."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        self._owners.clear()
        self._ends.clear()


def _before(end: int, batch: Batch, position: int) -> tuple[Batch, int]:
    """The records of a poll before a fixed end, and the position after them: where the first one is that is left out.

    That may be after the end: the last record of a file may have grown since the ends were fixed.
    """
    kept = bisect_left(batch.offsets, end)
    return (batch, position) if kept == len(batch) else (batch.take(range(kept)), batch.offsets[kept])
