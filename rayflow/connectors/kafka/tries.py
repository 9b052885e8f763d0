"""Counts the attempts to publish one epoch, and why they failed."""

from __future__ import annotations

from confluent_kafka import KafkaError

from rayflow.connectors.kafka.faults import fault, heals
from rayflow.core.errors import TransactionTooShort
from rayflow.core.ids import Epoch

_TRIES = 5
"""Failures of an epoch, other than outages, after which publishing is given up."""

_SLOW_TRIES = 3
"""Failures of an epoch because the transaction was too short, although the broker accepted records the whole time."""


class TryAgain(Exception):
    """The transaction was aborted for a cause that may be temporary."""

    def __init__(self, error: KafkaError) -> None:
        self.error = error


class Unknown(Exception):
    """The producer must be replaced; the marker shows whether the transaction was committed.

    `slow`: records were sent the whole time, but the time was not enough.
    """

    def __init__(self, error: KafkaError | None = None, *, slow: bool = False) -> None:
        self.error = error
        self.slow = slow


class Tries:
    """Counts the failed attempts to publish an epoch.

    Attributes:
        unknown: whether the outcome of one attempt is unknown.
    """

    def __init__(self, job: str, epoch: Epoch, timeout: float) -> None:
        self._job = job
        self._epoch = epoch
        self._timeout = timeout
        self._failed = 0
        self._slow = 0
        self.unknown = False

    def add(self, failed: TryAgain | Unknown) -> None:
        """Count one. Raises its cause if too many failed for other reasons than an outage."""
        if failed.error is not None and not heals(failed.error):
            self._failed += 1
            if self._failed >= _TRIES:
                raise fault(failed.error, "to publish")
        if isinstance(failed, Unknown):
            self.unknown = True
            self._slow += failed.slow

    def settled(self) -> None:
        """Note that no attempt so far took effect. Raises TransactionTooShort."""
        self.unknown = False
        if self._slow >= _SLOW_TRIES:
            raise TransactionTooShort(
                f"Publishing epoch {self._epoch} takes longer than transaction.timeout.ms ({self._timeout:g} s): gave "
                f"up after {_SLOW_TRIES} tries",
                job=self._job,
            )
