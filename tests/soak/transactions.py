"""The transactional ids that a broker keeps, read from the topic that it keeps them in."""

from __future__ import annotations

from tests.kafka.client import Kafka
from tests.soak.topic_log import TopicLog

TOPIC = "__transaction_state"


class TransactionalIds:
    """Follows the topic. Its keys are a version (2 bytes), a length (2 bytes) and the id; forgotten ids are tombstones.

    Kafka's own tool tells the same, but takes a JVM of its own for each look.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._log = TopicLog(kafka, [TOPIC], kafka.partitions(TOPIC), "read_uncommitted")
        self._known: set[bytes] = set()

    def look(self) -> set[bytes]:
        """All ids now. Raises KafkaException."""
        for message in self._log.read(self._log.ends(committed=False)):
            key = message.key() or b""
            if message.value() is None:
                self._known.discard(key[4:])
            else:
                self._known.add(key[4:])
        return self._known

    def close(self) -> None:
        """Let go of it."""
        self._log.close()
