"""The contracts of a connector: how the runtimes use Kafka, the embedded log, files and any other system.

A connector has topics, a topic has partitions, and a partition is a sequence of records at rising positions (integers).
A connector's class implements the parts that its system supports: `Source`, `Sink`, `Catalog`, `TopicAdmin`,
`Appendable`. `connectors/parts.py` returns a connector as one of them. `tests/contracts/` checks each part on every
connector that has it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from rayflow.core.batch import Batch, EncodedBatch
from rayflow.core.errors import UnknownTopic
from rayflow.core.ids import Epoch, Marker, SinkTask, TopicPartition
from rayflow.serde.base import Serde

NO_TOPICS: Mapping[str, str] = MappingProxyType({})
"""The topics of the sink operators are unknown."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic, its number of partitions and, if the system can tell cheaply, its number of records."""

    name: str
    partitions: int
    records: int | None = None


@dataclass(slots=True)
class Polled:
    """Undecoded records of one partition, in order: keys and values are `bytes | None`.

    `next_position` is where reading continues (past gaps that transactions leave).
    """

    batch: Batch
    next_position: int


class Reader(ABC):
    """Reads the partitions that `assign` names. One per worker and connector; used from one thread.

    It delivers committed records only. Until the next `assign` it delivers each partition in order from the assigned
    position, without omitting or repeating a record.
    """

    @abstractmethod
    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        """Read exactly these partitions from these positions (None: from the first available record).

        Replaces the previous assignment. Raises UnknownTopic; SourceDataLost if a position is no longer available.
        """

    @abstractmethod
    def poll(self, max_records: int, timeout: float) -> list[Polled]:
        """The records that have arrived, at most `max_records`; waits up to `timeout` seconds when there are none.

        Returns [] while the system is unavailable (see `outage`). Raises errors that waiting cannot correct:
        UnknownTopic, SourceDataLost, AuthenticationFailed.
        """

    @abstractmethod
    def ends(self, timeout: float = 30.0) -> dict[TopicPartition, int]:
        """The end position of each assigned partition: what `poll` will reach if no more records are written.

        Raises BrokerUnavailable after `timeout` seconds.
        """

    @abstractmethod
    def pause(self) -> None:
        """Deliver nothing until `resume`, and keep the positions. Pausing twice has no further effect."""

    @abstractmethod
    def resume(self) -> None:
        """Deliver again."""

    def commit(self, positions: Mapping[TopicPartition, int], epoch: Epoch) -> None:
        """Show positions to the system's own tools, if it has such a concept. Recovery never reads them."""

    @property
    def outage(self) -> str | None:
        """Why nothing arrives, in a few words ("2 of 2 brokers down"), while the system is unavailable; otherwise
        None."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Release all resources. Closing twice has no further effect."""


class Publisher(ABC):
    """Publishes the output of one worker's sink tasks in one connector. Used from one thread.

    Exactly-once: `open`, then one `publish` per epoch. At-least-once: `open`, then `append` at any time, and `flush`
    before the epoch is sealed.
    """

    @abstractmethod
    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Fence every earlier publisher of the same job and slot, then read the markers of `sinks`.

        When it returns, no publisher that was opened before can publish any more, and none of their transactions is
        open. It may block while the system ends these transactions. A missing marker is None. Raises BrokerUnavailable,
        AuthenticationFailed.
        """

    @abstractmethod
    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """The current markers of `sinks`. Fences no publisher and needs no `open`. They may change before it returns.

        Before `open` it does not wait for a transaction of others that is in flight, or was left open by a crash.

        Raises BrokerUnavailable, AuthenticationFailed.
        """

    @abstractmethod
    def publish(
        self,
        marker: Marker,
        outputs: Mapping[SinkTask, Sequence[EncodedBatch]],
        positions: Mapping[TopicPartition, int],
    ) -> Iterator[str]:
        """Publish one epoch in one atomic step: records, `marker` for every sink task in `outputs`, and `positions`.

        The caller iterates to the end, doing other work between steps; a step is short, and its name (for logs and
        crash tests) is what is yielded: those of `PUBLISH_STEPS` (connectors/steps.py) in their order.
        While the system is unavailable it yields WAITING and continues by itself; when it cannot know whether a
        commit took effect, it finds out by reading the marker. Epochs rise. Raises Fenced, RecordTooLarge,
        BrokerRefused, UnknownTopic; then nothing of the epoch is visible.
        """

    @abstractmethod
    def append(self, outputs: Sequence[EncodedBatch]) -> None:
        """At-least-once: pass records on at once, without waiting. Raises the error of an earlier `append`."""

    @abstractmethod
    def flush(self) -> Iterator[str]:
        """At-least-once: iterate until everything appended so far is durable. Raises the error of an `append`."""

    @property
    def outage(self) -> str | None:
        """Why publishing waits, in a few words, while the system is unavailable; otherwise None."""
        return None

    def settle(self) -> None:
        """At the end of a run: wait until readers see everything that was published, if that happens later.

        Waits for some seconds at most, and not for an unavailable system. Raises no errors of its own.
        """

    @abstractmethod
    def close(self) -> None:
        """Release all resources, and undo an unfinished `publish`. Closing twice has no further effect."""


class Appender(ABC):
    """Writes records from outside of a job (`rayflow topics write`, generators, tests)."""

    @abstractmethod
    def append(self, batch: EncodedBatch) -> None:
        """Add records to a topic, in order within a partition. Readers see them after the next `flush` at the
        latest."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until everything appended is durable and visible. Raises BrokerUnavailable, RecordTooLarge."""

    @abstractmethod
    def close(self) -> None:
        """Flush, and release all resources."""


class Connector(ABC):
    """One system that has topics: the methods that all connectors have. Creating it is cheap; it connects at the first
    call that needs a connection."""

    url: str

    @abstractmethod
    def check(self, timeout: float = 5.0) -> str:
        """Connect to the system, and describe it in one line (version, nodes).

        Raises BrokerUnavailable, AuthenticationFailed.
        """

    def close(self) -> None:
        """Release the resources that the connector itself uses."""


class Partitioned(Connector):
    """A connector that knows the partitions of its topics."""

    @abstractmethod
    def partitions(self, topic: str) -> int:
        """The topic's number of partitions. Raises UnknownTopic, BrokerUnavailable, AuthenticationFailed."""


class Source(Partitioned):
    """A connector whose topics a job can read."""

    @abstractmethod
    def identity(self, topic: str) -> str:
        """Identifies a topic and its system, independently of URLs and names: SYSTEM#TOPIC.

        A topic that is deleted and created again is another topic, for which old positions mean nothing. If partitions
        have their own identities, TOPIC consists of these, in order, separated by commas; added partitions come last.
        SYSTEM contains no `#`. Raises UnknownTopic, BrokerUnavailable, AuthenticationFailed.
        """

    @abstractmethod
    def reader(self, group: str) -> Reader:
        """Create a reader. `group`: the name under which it shows its positions (that of the job)."""


class Sink(Connector):
    """A connector whose topics a job can write.

    Attributes:
        exactly_once: whether it stores a marker with its records. If not, it can only be used with at-least-once
            delivery, and only `open`, `append` and `flush` of its publishers are called.
    """

    exactly_once: ClassVar[bool] = True

    @classmethod
    def accepting(cls, serde: Serde[Any]) -> Serde[Any]:
        """The serde for values that a job writes with `serde`: it refuses values that the system cannot store.

        An epoch's output is encoded before its checkpoint and written after it. So a value that cannot be written must
        be found while it is encoded, where `on_error=` applies. `encode` raises EncodeFailed.
        """
        return serde

    @abstractmethod
    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        """Create a publisher for one worker's slot of a job. `delivery` is "exactly_once" or "at_least_once".

        `topics`: the topic that each sink operator of the job writes. Connectors that store markers beside the topics
        use it to find them.
        """


class Catalog(Connector):
    """A connector that can list its topics."""

    @abstractmethod
    def topics(self) -> list[TopicInfo]:
        """All topics, by name, without the system's internal ones. Raises BrokerUnavailable, AuthenticationFailed."""


class TopicAdmin(Partitioned, Catalog):
    """A connector that creates and deletes topics. With other connectors, a topic must exist before a job writes it.

    Attributes:
        takes_samples: whether a job's sample data is written to it if a topic of the job does not exist.
    """

    takes_samples: ClassVar[bool] = False

    @abstractmethod
    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        """Create a topic. Raises TopicExists, BrokerRefused."""

    @abstractmethod
    def delete(self, topic: str) -> None:
        """Delete a topic and its records. Raises UnknownTopic, BrokerRefused."""

    def ensure(self, topic: str, partitions: int) -> bool:
        """Create a topic unless it exists, whatever its number of partitions. True if it was created.

        Raises the errors of `partitions` and `create`.
        """
        try:
            self.partitions(topic)
        except UnknownTopic:
            self.create(topic, partitions)
            return True
        return False


class Appendable(Connector):
    """A connector whose topics can be written from outside of a job."""

    @abstractmethod
    def appender(self) -> Appender:
        """Create a writer that belongs to no job."""
