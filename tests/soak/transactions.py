"""The transactions that a broker knows, read from the topic that it keeps them in."""

from __future__ import annotations

from tests.kafka.client import Kafka
from tests.soak.topic_log import TopicLog

TOPIC = "__transaction_state"
_STATUS = 16
"""Where a value has its status, behind version, producer id, epoch, timeout (Kafka's TransactionLogValue)."""
_ENDED = {0, 4, 5}
"""Empty, CompleteCommit, CompleteAbort: all that belongs to the transaction is written."""


class Transactions:
    """Follows the topic. Its keys are a version, a length (2 bytes each) and the id; forgotten ids are tombstones.

    Kafka's own tool tells the same, but takes a JVM of its own for each look.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._log = TopicLog(kafka, [TOPIC], kafka.partitions(TOPIC), "read_uncommitted")
        self._ended: dict[bytes, bool] = {}

    def look(self) -> dict[bytes, bool]:
        """All transactional ids now, and whether their last transaction has ended. Raises KafkaException."""
        for message in self._log.read(self._log.ends(committed=False)):
            key, value = (message.key() or b"")[4:], message.value()
            if value is None:
                self._ended.pop(key, None)
            else:
                self._ended[key] = value[_STATUS] in _ENDED
        return self._ended

    def close(self) -> None:
        """Let go of it."""
        self._log.close()
