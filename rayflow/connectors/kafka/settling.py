"""Waits until readers see committed records: a broker answers a commit some ms before they do."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from types import TracebackType

from confluent_kafka import Consumer

from rayflow.connectors.kafka.admin import KafkaAdmin
from rayflow.connectors.kafka.client import Contact, make
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.positions import LATEST, look_up
from rayflow.core.errors import RayflowError
from rayflow.core.ids import TopicPartition

SETTLE = 10.0
"""Seconds that the end of a run waits at most until readers see all of its output."""

_ANSWER = 3.0
"""Seconds to wait for an answer of the broker."""
_PAUSE = 0.001

_logger = logging.getLogger(__name__)


class EndOffsets:
    """The end positions of partitions for readers of all records, or of committed ones only. `close` it after use."""

    def __init__(self, settings: KafkaSettings, group: str, isolation: str) -> None:
        self._contact = Contact()
        self._consumer = make(Consumer, {**settings.consumer(group), "isolation.level": isolation}, self._contact)

    def of(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The current ends. Raises BrokerUnavailable."""
        return look_up(self._consumer, places, LATEST, self._contact, _ANSWER)

    def __enter__(self) -> EndOffsets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()


def await_readers(
    settings: KafkaSettings, admin: KafkaAdmin, group: str, topics: Collection[str], seconds: float
) -> None:
    """Wait until readers of committed records reach the current ends of `topics`. `group` only names the consumer.

    Gives up after `seconds` (another writer's transaction may be open), and if the broker does not answer.
    """
    end = time.monotonic() + seconds
    try:
        places = [TopicPartition(topic, p) for topic in topics for p in range(admin.partitions(topic))]
        with EndOffsets(settings, group, "read_uncommitted") as ends:
            written = ends.of(places)
        with EndOffsets(settings, group, "read_committed") as ends:
            while time.monotonic() < end:
                shown = ends.of(places)
                if all(shown[place] >= position for place, position in written.items()):
                    return
                time.sleep(_PAUSE)
    except RayflowError as error:
        _logger.debug("unknown whether readers see the last epoch yet: %s", error.what)
    else:
        _logger.warning(
            "read_committed readers cannot read past the last epoch yet: another producer's transaction is open"
        )
