"""One transactional producer, and what its errors ask for."""

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
"""Seconds that one blocking call may take, so that closing never waits longer. The calls can be repeated."""


class Verdict(Enum):
    """What to do about an error of a transactional producer."""

    AGAIN = auto()
    """Repeat the call."""
    ABORT = auto()
    """End the transaction without effect; then it may be tried again, unless the cause is lasting."""
    DROP = auto()
    """The producer is of no use any more, and whether a commit took effect is unknown."""
    FENCED = auto()
    """A newer producer has taken over."""


def verdict(error: KafkaError) -> Verdict:
    """What to do about an error."""
    if error.fatal():
        return Verdict.FENCED if error.code() in FENCED else Verdict.DROP
    # An epoch that the broker calls stale may only have been raised by the broker: aborting tells.
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
"""Errors that follow from another one: trying again may do."""


class TransactionalProducer:
    """A transactional producer and its present transaction. Its blocking calls take TURN seconds at most.

    The calls raise KafkaException. `serve` may be called beside a call that runs in another thread.
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
        """Reach the cluster. Raises BrokerUnavailable, AuthenticationFailed."""
        ask(self.ping, self.contact, "which brokers there are", serve=self._client.poll)

    def ping(self, seconds: float = TURN) -> None:
        """Ask the broker something. It raises if there is no answer."""
        # This topic exists wherever there are groups, so asking for it creates nothing of the user's.
        self._client.list_topics("__consumer_offsets", timeout=seconds)

    def take_over(self) -> None:
        """Fence earlier producers of the same id; returns once the broker has ended their transactions."""
        self._client.init_transactions(TURN)

    def begin(self) -> None:
        """Begin a transaction (the broker hears of it with the first record)."""
        self._errors.causes.clear()
        self._client.begin_transaction()
        self._began = self._moved = time.monotonic()
        self._outbox, self._sent = None, 0

    @property
    def open(self) -> bool:
        """Whether a transaction was begun and has not been seen to end."""
        return self._began is not None

    @property
    def age(self) -> float:
        """Seconds since the transaction began."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def outbox(self, batches: Iterable[EncodedBatch]) -> Outbox:
        """The way to hand the transaction's records over."""
        self._outbox = Outbox(self._client, batches)
        return self._outbox

    def stillness(self) -> float:
        """Seconds since the broker was last seen to have taken records, or since the transaction began."""
        now = time.monotonic()
        sent = 0 if self._outbox is None else self._outbox.handed - len(self._client)
        if sent > self._sent:
            self._sent, self._moved = sent, now
        return now - self._moved

    def serve(self, seconds: float = 0) -> None:
        """Let reports of deliveries and connections in."""
        # A fatal error makes `poll` raise, as a SystemError if a report came with it; the next call tells of it too.
        with contextlib.suppress(KafkaException, SystemError):
            self._client.poll(seconds)

    def send_offsets(self, offsets: list[Place], group: Any) -> None:
        """Make offsets of a group part of the transaction."""
        self._client.send_offsets_to_transaction(offsets, group, TURN)

    def commit(self) -> None:
        """End the transaction with effect."""
        self._client.commit_transaction(TURN)
        self._began = None

    def abort(self) -> None:
        """End the transaction without effect."""
        self._client.abort_transaction(TURN)
        self._began = None

    def abandon(self) -> None:
        """Drop what has not been delivered: a producer that is let go of with records on their way may corrupt memory
        (librdkafka 2.16)."""
        with contextlib.suppress(KafkaException, SystemError):
            self._client.purge()
            self._client.poll(0)

    def lasting_cause(self, error: KafkaError, topic: str | None) -> RayflowError | None:
        """Why trying again is of no use, given the error of a call; None when it is."""
        for (code, at), cause in self._errors.causes.items():
            if code not in _CONSEQUENCES and not heals(cause):
                return fault(cause, "to take a record", topic=at)
        if error.code() in _CONSEQUENCES or heals(error):
            return None
        return fault(error, "to publish", topic=topic)
