"""The tries at publishing one epoch: why one ends, and how many there may be."""

from __future__ import annotations

from confluent_kafka import KafkaError

from rayflow.connectors.kafka.faults import fault, heals
from rayflow.core.errors import TransactionTooShort
from rayflow.core.ids import Epoch

_TRIES = 5
"""Tries at an epoch that fail for reasons other than an outage before it is given up."""

_SLOW_TRIES = 3
"""Tries at an epoch that a transaction was too short for, with a broker that took records all along."""


class TryAgain(Exception):
    """The transaction was aborted for a cause that may pass."""

    def __init__(self, error: KafkaError) -> None:
        self.error = error


class Unknown(Exception):
    """The producer must be replaced; whether the transaction was committed, the marker tells.

    `slow`: records went out all along, but time was up.
    """

    def __init__(self, error: KafkaError | None = None, *, slow: bool = False) -> None:
        self.error = error
        self.slow = slow


class Tries:
    """Counts the tries at an epoch that failed.

    Attributes:
        unknown: whether the outcome of one is not known.
    """

    def __init__(self, job: str, epoch: Epoch, timeout: float) -> None:
        self._job = job
        self._epoch = epoch
        self._timeout = timeout
        self._failed = 0
        self._slow = 0
        self.unknown = False

    def add(self, failed: TryAgain | Unknown) -> None:
        """Count one. Raises its cause when too many failed for other reasons than an outage."""
        if failed.error is not None and not heals(failed.error):
            self._failed += 1
            if self._failed >= _TRIES:
                raise fault(failed.error, "to publish")
        if isinstance(failed, Unknown):
            self.unknown = True
            self._slow += failed.slow

    def settled(self) -> None:
        """Every try so far is known to have had no effect. Raises TransactionTooShort."""
        self.unknown = False
        if self._slow >= _SLOW_TRIES:
            raise TransactionTooShort(
                f"Publishing epoch {self._epoch} takes longer than transaction.timeout.ms ({self._timeout:g} s): gave "
                f"up after {_SLOW_TRIES} tries",
                job=self._job,
            )
