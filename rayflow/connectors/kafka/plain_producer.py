"""Writes without transactions: an idempotent producer that repeats records for as long as the broker is unavailable.

If the delivery of a record fails in spite of that, the writer ends, because the record was not written.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaException, Producer

from rayflow.connectors.kafka.client import Contact, ask, make
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.faults import error_of, fault
from rayflow.connectors.kafka.outbox import DeliveryErrors, Outbox
from rayflow.core.batch import EncodedBatch


class PlainProducer:
    """A producer, the batches that its queue has not accepted yet, and the errors of accepted records."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.contact = Contact()
        self._errors = DeliveryErrors()
        self._producer: Producer = make(
            Producer, {**settings.lasting_producer(), "on_delivery": self._errors.on_delivery}, self.contact
        )
        self._outbox = Outbox(self._producer)

    def connect(self) -> None:
        """Connect to the cluster. Raises BrokerUnavailable, AuthenticationFailed."""
        ask(
            lambda seconds: self._producer.list_topics("__consumer_offsets", timeout=seconds),
            self.contact,
            "which brokers there are",
            serve=self._producer.poll,
        )

    def add(self, batches: Sequence[EncodedBatch]) -> None:
        """Add batches, and pass on what fits into the producer's queue. Raises the error of a failed delivery."""
        self._outbox.add(batches)
        while self._outbox and self._feed():
            pass
        self._serve(0)

    def advance(self, seconds: float) -> int:
        """Make progress for up to `seconds`. Returns the number of records in flight. Raises the error of a failed
        delivery."""
        self._feed()
        left = self._serve(seconds)
        return left + len(self._outbox)

    def _feed(self) -> bool:
        try:
            return self._outbox.feed()
        except KafkaException as failure:
            raise fault(error_of(failure), "to take a record", topic=self._outbox.topic) from failure

    def _serve(self, seconds: float) -> int:
        try:
            left: int = self._producer.flush(seconds) if seconds else self._producer.poll(0)
        except KafkaException as failure:
            raise fault(error_of(failure), "to take records") from failure
        self.contact.check()
        # The producer gives up a reported record, even if the cause is temporary: it does not repeat it.
        if self._errors.causes:
            ((_code, topic), cause), *_ = self._errors.causes.items()
            raise fault(cause, "to take a record", topic=topic)
        return left
