"""Reads partitions of topics by `assign`: committed records only, from positions that the job keeps, not the broker."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.base import Polled, Reader
from rayflow.connectors.kafka.client import CONNECT_TIMEOUT, Contact, ask, make
from rayflow.connectors.kafka.columns import polled_of, timestamps_of
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.faults import AWAY, LOST, REFUSED, UNKNOWN, fault
from rayflow.connectors.kafka.positions import EARLIEST, LATEST, look_up
from rayflow.core.batch import Batch, Origin
from rayflow.core.errors import InvariantBroken, SourceDataLost, UnknownTopic
from rayflow.core.errors.brokers import RECREATED
from rayflow.core.ids import Epoch, TopicPartition

_logger = logging.getLogger(__name__)


class KafkaReader(Reader):
    """One consumer for all partitions that a worker reads.

    `ends` is the last stable offset, and the end-of-partition event reports when it is reached. In a topic that is
    written in transactions, it is after the control records and aborted records at the end, which are never delivered.
    """

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._contact = Contact()
        self._settings = settings.consumer(group)
        self._client: Consumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._one_topic = False
        self._paused = False
        self._closed = False
        self._next_probe = 0.0
        self._probe_patience = 0.1

    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        """Read exactly these partitions. It checks positions against the broker, so it also raises
        BrokerUnavailable."""
        consumer = self._consumer()
        # Unassign the old partitions first: handling errors could otherwise swallow one of their records.
        consumer.unassign()
        self._positions = {}
        if not positions:
            return
        self._check_partitions(consumer, positions)
        self._check_positions(consumer, {place: at for place, at in positions.items() if at is not None})
        consumer.assign(
            [Place(*place, OFFSET_BEGINNING if position is None else position) for place, position in positions.items()]
        )
        # -1 is before the first record, wherever that is: reaching it is a change.
        self._positions = {place: -1 if position is None else position for place, position in positions.items()}
        self._one_topic = len({place.topic for place in positions}) == 1

    def poll(self, max_records: int, timeout: float) -> list[Polled]:
        """Return what has arrived. It waits for the first record only, and never for a full batch."""
        consumer = self._client
        if consumer is None or not self._positions or self._paused:
            time.sleep(timeout)
            return []
        messages: list[Any] = consumer.consume(max_records, 0)
        if not messages and timeout > 0:
            messages = consumer.consume(1, timeout)
            if messages and max_records > 1:
                messages += consumer.consume(max_records - 1, 0)
        self._contact.check()
        if self._contact.doubt:
            self._contact.doubt = False
            self._check_partitions(consumer, self._positions)
        if not messages:
            self._probe(consumer)
            return []
        timestamps = timestamps_of(messages)
        events: list[Any] = []
        if -1 in timestamps:  # events have no timestamp, but a record may have none either
            events = [message for message in messages if message.error() is not None]
            if events:
                messages = [message for message in messages if message.error() is None]
                timestamps = timestamps_of(messages)
        polled = polled_of(messages, timestamps, one_topic=self._one_topic) if messages else []
        for one in polled:
            self._positions[TopicPartition(*one.batch.origin)] = one.next_position
        if self._contact.outage is not None:
            # They may have been fetched before. Only an answer ends an outage: librdkafka reports it once.
            self._next_probe = 0.0
            self._probe(consumer)
        return self._after_events(polled, events) if events else polled

    def ends(self, timeout: float = 30.0) -> dict[TopicPartition, int]:
        """The last stable offset of each assigned partition."""
        return look_up(self._consumer(), list(self._positions), LATEST, self._contact, timeout)

    def pause(self) -> None:
        """Deliver nothing until `resume`. Fetched records remain in the consumer's bounded memory."""
        self._paused = True

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False

    def commit(self, positions: Mapping[TopicPartition, int], epoch: Epoch) -> None:
        """Commit to the job's group without waiting. After a failure the shown lag is too high for a while."""
        if not positions:
            return
        offsets = [Place(*place, position, str(epoch)) for place, position in positions.items()]
        try:
            self._consumer().commit(offsets=offsets, asynchronous=True)
        except KafkaException as failure:
            _logger.debug("positions of epoch %d were not committed: %s", epoch, failure)

    @property
    def outage(self) -> str | None:
        """Why nothing arrives, while all brokers are unavailable."""
        return self._contact.outage

    def close(self) -> None:
        """Close the consumer."""
        self._closed = True
        self._positions = {}
        if self._client is not None:
            self._client.close()
            self._client = None

    def _consumer(self) -> Consumer:
        if self._closed:
            raise InvariantBroken("A reader that is closed was asked to read")
        if self._client is None:
            self._client = make(Consumer, self._settings, self._contact)
        return self._client

    def _check_partitions(self, consumer: Consumer, places: Mapping[TopicPartition, object]) -> None:
        serve = None if self._positions else consumer.poll
        for topic in sorted({place.topic for place in places}):
            metadata = ask(
                partial(_metadata, consumer, topic),
                self._contact,
                "which partitions the topic has",
                serve=serve,
                topic=topic,
            ).topics[topic]
            if metadata.error is not None and metadata.error.code() not in AWAY:
                raise fault(metadata.error, "to read the topic", topic=topic)
            for place in places:
                if place.topic == topic and place.partition not in metadata.partitions:
                    raise UnknownTopic(
                        f"The topic has {len(metadata.partitions)} partitions, and this one is not among them",
                        topic=topic,
                        partition=place.partition,
                    )

    def _check_positions(self, consumer: Consumer, positions: Mapping[TopicPartition, int]) -> None:
        firsts = look_up(consumer, list(positions), EARLIEST, self._contact, CONNECT_TIMEOUT)
        ends = look_up(consumer, list(positions), LATEST, self._contact, CONNECT_TIMEOUT)
        for place, position in positions.items():
            if position < firsts[place]:
                found, advice = f"The oldest record that the broker still has is at {firsts[place]}", None
            elif position > ends[place]:
                found = f"The partition ends at {ends[place]}: the topic was truncated, or deleted and recreated"
                advice = RECREATED
            else:
                continue
            raise SourceDataLost(found, topic=place.topic, partition=place.partition, offset=position, advice=advice)

    def _after_events(self, polled: list[Polled], events: list[Any]) -> list[Polled]:
        """Move positions to the ends of partitions that were reached. Raises the other events as errors."""
        for event in events:
            error = event.error()
            if error.code() != KafkaError._PARTITION_EOF:
                self._meet(error, event)
                continue
            place, end = TopicPartition(event.topic(), event.partition()), event.offset()
            if end <= self._positions.get(place, end):
                continue
            self._positions[place] = end
            last = next((one for one in reversed(polled) if TopicPartition(*one.batch.origin) == place), None)
            if last is not None:
                last.next_position = end
            else:
                polled.append(Polled(Batch.empty(Origin(*place)), end))
        return polled

    def _meet(self, error: KafkaError, event: Any) -> None:
        code = error.code()
        if code in REFUSED or code in LOST or code in UNKNOWN or not (code in AWAY or error.retriable()):
            partition = event.partition()
            place = TopicPartition(event.topic() or "", -1 if partition is None else partition)
            raise fault(
                error,
                "to read",
                topic=place.topic or None,
                partition=None if place.partition < 0 else place.partition,
                offset=self._positions.get(place),
            )
        self._contact.on_error(error)

    def _probe(self, consumer: Consumer) -> None:
        """During an outage, check from time to time whether it is over: an idle topic would never show it."""
        now = time.monotonic()
        if self._contact.outage is None:
            self._probe_patience = 0.1
            return
        if now < self._next_probe:
            return
        topic = next(iter(self._positions)).topic
        try:
            consumer.list_topics(topic, timeout=self._probe_patience)
        except KafkaException:
            self._probe_patience = min(self._probe_patience * 1.5, 1.0)
            # at most a tenth of the caller's time
            self._next_probe = time.monotonic() + 10 * self._probe_patience
        else:
            self._contact.reached()


def _metadata(consumer: Consumer, topic: str, seconds: float) -> Any:
    return consumer.list_topics(topic, timeout=seconds)
