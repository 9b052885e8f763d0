"""One transactional producer, and the reaction to each of its errors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Place

from rayflow.connectors.kafka.client import Contact, ask, make
from rayflow.connectors.kafka.config import KafkaSettings
from rayflow.connectors.kafka.faults import FENCED, fault, heals
from rayflow.connectors.kafka.outbox import DeliveryErrors, Outbox
from rayflow.core.batch import EncodedBatch
from rayflow.core.errors import RayflowError

TURN = 3.0
"""The maximum duration of one blocking call in seconds, so that closing never waits longer. The calls can be
repeated."""


class Verdict(Enum):
    """The reaction to an error of a transactional producer."""

    AGAIN = auto()
    """Repeat the call."""
    ABORT = auto()
    """Abort the transaction; then it may be tried again, unless the cause is permanent."""
    DROP = auto()
    """Drop the producer; it is unknown whether a commit took effect."""
    FENCED = auto()
    """A newer producer has fenced this one."""


def verdict(error: KafkaError) -> Verdict:
    """The reaction to an error."""
    if error.fatal():
        return Verdict.FENCED if error.code() in FENCED else Verdict.DROP
    # A "stale epoch" error may be caused by the broker itself; aborting shows whether it is.
    if error.txn_requires_abort() or not heals(error):
        return Verdict.ABORT
    return Verdict.AGAIN


_CONSEQUENCES = frozenset(
    {
        KafkaError._INCONSISTENT,
        KafkaError._STATE,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.INVALID_TXN_STATE,
    }
)
"""Errors that follow from another error; a retry may succeed."""


class TransactionalProducer:
    """A transactional producer and its current transaction. Its blocking calls take TURN seconds at most.

    The calls raise KafkaException. `serve` may be called while a call runs in another thread.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        self.contact = Contact()
        self._errors = DeliveryErrors()
        self._began: float | None = None
        self._outbox: Outbox | None = None
        self._sent = 0
        self._moved = 0.0
        self._client: Producer = make(
            Producer,
            {**settings.transactional_producer(transactional_id), "on_delivery": self._errors.on_delivery},
            self.contact,
        )

    def connect(self) -> None:
        """Connect to the cluster. Raises BrokerUnavailable, AuthenticationFailed."""
        ask(self.ping, self.contact, "which brokers there are", serve=self._client.poll)

    def ping(self, seconds: float = TURN) -> None:
        """Send the broker a request. Raises if there is no answer."""
        # This topic exists wherever there are groups, so the request creates no user topic.
        self._client.list_topics("__consumer_offsets", timeout=seconds)

    def take_over(self) -> None:
        """Fence earlier producers of the same id. Returns when the broker has ended their transactions."""
        self._client.init_transactions(TURN)

    def begin(self) -> None:
        """Begin a transaction (the broker learns about it with the first record)."""
        self._errors.causes.clear()
        self._client.begin_transaction()
        self._began = self._moved = time.monotonic()
        self._outbox, self._sent = None, 0

    @property
    def open(self) -> bool:
        """Whether a transaction was begun and its end is not known."""
        return self._began is not None

    @property
    def age(self) -> float:
        """Seconds since the transaction began."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def outbox(self, batches: Iterable[EncodedBatch]) -> Outbox:
        """An outbox for the transaction's records."""
        self._outbox = Outbox(self._client, batches)
        return self._outbox

    def stillness(self) -> float:
        """Seconds since the broker was last known to accept records, or since the transaction began."""
        now = time.monotonic()
        sent = 0 if self._outbox is None else self._outbox.handed - len(self._client)
        if sent > self._sent:
            self._sent, self._moved = sent, now
        return now - self._moved

    def serve(self, seconds: float = 0) -> None:
        """Process reports of deliveries and connections."""
        # After a fatal error `poll` raises, with a report as a SystemError. The next call reports the error, too.
        with contextlib.suppress(KafkaException, SystemError):
            self._client.poll(seconds)

    def send_offsets(self, offsets: list[Place], group: Any) -> None:
        """Add offsets of a group to the transaction."""
        self._client.send_offsets_to_transaction(offsets, group, TURN)

    def commit(self) -> None:
        """Commit the transaction."""
        self._client.commit_transaction(TURN)
        self._began = None

    def abort(self) -> None:
        """Abort the transaction."""
        self._client.abort_transaction(TURN)
        self._began = None

    def abandon(self) -> None:
        """Drop the records that were not delivered: releasing a producer with records in flight may corrupt memory
        (librdkafka 2.16)."""
        with contextlib.suppress(KafkaException, SystemError):
            self._client.purge()
            self._client.poll(0)

    def lasting_cause(self, error: KafkaError, topic: str | None) -> RayflowError | None:
        """Why a retry is useless, given the error of a call; None if it is not."""
        for (code, at), cause in self._errors.causes.items():
            if code not in _CONSEQUENCES and not heals(cause):
                return fault(cause, "to take a record", topic=at)
        if error.code() in _CONSEQUENCES or heals(error):
            return None
        return fault(error, "to publish", topic=topic)
