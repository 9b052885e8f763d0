"""The contracts of a connector: what the runtimes ask of Kafka, the embedded log, files and any other system.

A connector holds topics, a topic has partitions, a partition is a sequence of records at rising positions (integers).
A connector's class implements the parts that its system has: `Source`, `Sink`, `Catalog`, `TopicAdmin`, `Appendable`;
`connectors/parts.py` gives a connector as one of them. `tests/contracts/` checks each part on every connector that has
it.
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
"""No sink operator's topic is known."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic, its number of partitions and, where the system can tell cheaply, its number of records."""

    name: str
    partitions: int
    records: int | None = None


@dataclass(slots=True)
class Polled:
    """Records of one partition in order, undecoded: keys and values are `bytes | None`.

    `next_position` is where reading continues (past gaps that transactions leave).
    """

    batch: Batch
    next_position: int


class Reader(ABC):
    """Reads the partitions that `assign` names. One per worker and connector; used from one thread.

    Only committed records are delivered, each partition in order, from the assigned position on, none left out and
    none twice, until the next `assign`.
    """

    @abstractmethod
    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        """Read exactly these partitions from these positions (None: from the first record there is).

        Replaces what was assigned. Raises UnknownTopic; SourceDataLost when a position is no longer held.
        """

    @abstractmethod
    def poll(self, max_records: int, timeout: float) -> list[Polled]:
        """The records that have arrived, at most `max_records`; waits up to `timeout` seconds when there are none.

        Returns [] while the system is out of reach (see `outage`). Raises what cannot heal by waiting:
        UnknownTopic, SourceDataLost, AuthenticationFailed.
        """

    @abstractmethod
    def ends(self, timeout: float = 30.0) -> dict[TopicPartition, int]:
        """The end position of each assigned partition: what `poll` will reach if nothing more is written.

        Raises BrokerUnavailable after `timeout` seconds.
        """

    @abstractmethod
    def pause(self) -> None:
        """Deliver nothing until `resume`; positions stay. Pausing twice is pausing once."""

    @abstractmethod
    def resume(self) -> None:
        """Deliver again."""

    def commit(self, positions: Mapping[TopicPartition, int], epoch: Epoch) -> None:
        """Show positions to the system's own tools, where it has a notion of that. Never what recovery reads."""

    @property
    def outage(self) -> str | None:
        """Why nothing arrives, in a few words ("2 of 2 brokers down"), while the system is out of reach; else None."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. Closing twice is closing once."""


class Publisher(ABC):
    """Publishes the output of one worker's sink tasks in one connector. Used from one thread.

    Exactly-once: `open`, then one `publish` per epoch; at-least-once: `open`, then `append` at any time and `flush`
    before the epoch is sealed.
    """

    @abstractmethod
    def open(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """Fence every earlier publisher of the same job and slot, then read the markers of `sinks`.

        Once it returns, no publisher that was opened before it can publish any more, and nothing of theirs is left
        undecided (no open transaction). May block while the system finishes that. None where there is no marker.
        Raises BrokerUnavailable, AuthenticationFailed.
        """

    @abstractmethod
    def markers(self, sinks: Sequence[SinkTask]) -> dict[SinkTask, Marker | None]:
        """The markers of `sinks` as they are now. Fences nobody, needs no `open`, may be late by the time it returns.

        Before `open` it does not wait for a publish of others that is in flight, or was left so by a crash.

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
        """At-least-once: hand records over at once, without waiting. Raises what an earlier `append` met."""

    @abstractmethod
    def flush(self) -> Iterator[str]:
        """At-least-once: iterate until everything appended so far is durable. Raises what an `append` met."""

    @property
    def outage(self) -> str | None:
        """Why publishing waits, in a few words, while the system is out of reach; else None."""
        return None

    def settle(self) -> None:
        """At the end of a run: wait until readers see everything that was published, where that comes later.

        Waits for some seconds at most, and not for a system that is out of reach. Raises nothing of its own.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; an unfinished `publish` is undone. Closing twice is closing once."""


class Appender(ABC):
    """Writes records from outside of a job (`rayflow topics write`, generators, tests)."""

    @abstractmethod
    def append(self, batch: EncodedBatch) -> None:
        """Add records to a topic, in order within a partition. Visible to readers by the next `flush`."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until everything appended is durable and visible. Raises BrokerUnavailable, RecordTooLarge."""

    @abstractmethod
    def close(self) -> None:
        """Flush and let go."""


class Connector(ABC):
    """One system that holds topics: what all connectors have. Cheap to make; it connects at the first call that needs
    it."""

    url: str

    @abstractmethod
    def check(self, timeout: float = 5.0) -> str:
        """Reach the system and say in one line what is there (version, nodes).

        Raises BrokerUnavailable, AuthenticationFailed.
        """

    def close(self) -> None:
        """Let go of everything that the connector itself holds."""


class Partitioned(Connector):
    """A connector that knows its topics' partitions."""

    @abstractmethod
    def partitions(self, topic: str) -> int:
        """The topic's number of partitions. Raises UnknownTopic, BrokerUnavailable, AuthenticationFailed."""


class Source(Partitioned):
    """A connector whose topics a job can read."""

    @abstractmethod
    def identity(self, topic: str) -> str:
        """Which topic of which system this is, however it is reached and called: SYSTEM#TOPIC.

        A topic that is deleted and made again is another one, and positions in the one mean nothing in the other. Where
        partitions have identities of their own, TOPIC is theirs, in order, with commas between: those that are added
        come behind. SYSTEM holds no `#`. Raises UnknownTopic, BrokerUnavailable, AuthenticationFailed.
        """

    @abstractmethod
    def reader(self, group: str) -> Reader:
        """A reader; `group` is the name under which positions are shown (the job's)."""


class Sink(Connector):
    """A connector whose topics a job can write.

    Attributes:
        exactly_once: whether it stores a marker with its records. One that does not serves jobs with at-least-once
            delivery only: its publishers are asked for `open`, `append` and `flush`.
    """

    exactly_once: ClassVar[bool] = True

    @classmethod
    def accepting(cls, serde: Serde[Any]) -> Serde[Any]:
        """The serde for values that a job writes with `serde`: one that refuses those that the system cannot hold.

        An epoch's output is encoded before its checkpoint and written after it: what cannot be written is found here,
        where `on_error=` deals with it. What `encode` raises is EncodeFailed.
        """
        return serde

    @abstractmethod
    def publisher(self, job: str, slot: int, delivery: str, topics: Mapping[str, str] = NO_TOPICS) -> Publisher:
        """A publisher for one worker's slot of a job; `delivery` is "exactly_once" or "at_least_once".

        `topics` says which topic each sink operator of the job writes: where markers lie beside the topics, they are
        found by it.
        """


class Catalog(Connector):
    """A connector that can list its topics."""

    @abstractmethod
    def topics(self) -> list[TopicInfo]:
        """All topics, by name, without the system's internal ones. Raises BrokerUnavailable, AuthenticationFailed."""


class TopicAdmin(Partitioned, Catalog):
    """A connector that makes and deletes topics. Topics of other connectors are there before a job writes them.

    Attributes:
        takes_samples: whether a job's sample data is written to it, where a topic of the job does not exist.
    """

    takes_samples: ClassVar[bool] = False

    @abstractmethod
    def create(self, topic: str, partitions: int, replication: int | None = None) -> None:
        """Create a topic. Raises TopicExists, BrokerRefused."""

    @abstractmethod
    def delete(self, topic: str) -> None:
        """Delete a topic and its records. Raises UnknownTopic, BrokerRefused."""

    def ensure(self, topic: str, partitions: int) -> bool:
        """Create a topic unless it exists, whatever partitions it has then. True if it was created.

        Raises as `partitions` and `create` do.
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
        """A plain writer."""
