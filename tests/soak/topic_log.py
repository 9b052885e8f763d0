"""Topics as one who follows them reads them: again and again up to where they end at the moment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.kafka.client import QUIET, Kafka
from tests.soak.wrong import Wrong

Place = tuple[str, int]
"""Topic and partition."""

REACH = 10.0
"""Seconds that a call of `read` goes on towards the ends; what it lacks then (an outage) comes with the next."""


class TopicLog:
    """All records of some topics, from their beginning.

    Args:
        partitions: of each topic.
    """

    def __init__(
        self,
        kafka: Kafka,
        topics: Iterable[str],
        partitions: int,
        isolation: Literal["read_committed", "read_uncommitted"],
    ) -> None:
        self._kafka = kafka
        self._places = [TopicPartition(topic, p, 0) for topic in topics for p in range(partitions)]
        self._reached: dict[Place, int] = {(place.topic, place.partition): 0 for place in self._places}
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "group.id": "soak-follower",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 50,
                **QUIET,
            }
        )
        self._consumer.assign(self._places)

    def ends(self, *, committed: bool) -> dict[Place, int]:
        """Where the topics end for readers of committed records, or of all. Raises KafkaException."""
        ends = self._kafka.look_up_ends(self._places, committed=committed)
        if ends is None:
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return {(place.topic, place.partition): end for place, end in zip(self._places, ends, strict=True)}

    def read(self, ends: Mapping[Place, int]) -> list[Message]:
        """What there is up to these ends at least, in order within each partition; less when the broker goes away."""
        found: list[Message] = []
        limit = time.monotonic() + REACH
        while not self.has_reached(ends) and time.monotonic() < limit:
            for message in self._consumer.consume(5_000, 0.05):
                self._take(message, found)
        return found

    def has_reached(self, ends: Mapping[Place, int]) -> bool:
        """Whether all below these ends has been read."""
        return all(self._reached[place] >= end for place, end in ends.items())

    def _take(self, message: Message, found: list[Message]) -> None:
        error = message.error()
        place, at = (str(message.topic()), int(message.partition() or 0)), int(message.offset() or 0)
        if error is None:
            found.append(message)
            self._reached[place] = at + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            # The markers of transactions take offsets too: the end of what there is may be behind the last record.
            self._reached[place] = max(self._reached[place], at)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise Wrong(f"{place[0]}: the broker has lost what was there before")

    def close(self) -> None:
        """Let go of it."""
        self._consumer.close()
