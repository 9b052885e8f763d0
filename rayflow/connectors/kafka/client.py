"""Creates librdkafka's clients, and tracks the state of their connections."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from rayflow.connectors.kafka.faults import AWAY, REFUSED, UNKNOWN, error_of, fault, heals
from rayflow.core.errors import BrokerUnavailable, InvalidConnector

CONNECT_TIMEOUT = 10.0
"""Seconds without an answer after which a broker counts as unavailable."""

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class _Log:
    """librdkafka's own log, at level debug: it warns of temporary conditions, such as a transaction that is being
    aborted."""

    def log(self, _level: int, message: str, *values: object) -> None:
        _logger.debug(message, *values)


class Contact:
    """The reported state of one client's connections.

    Attributes:
        outage: why the cluster is unavailable, in a few words, or None.
        refusal: the error with which the broker or the client refused the connection; None if there is none.
        doubt: whether a topic or a partition was reported as missing.
    """

    def __init__(self) -> None:
        self.outage: str | None = None
        self.refusal: KafkaError | None = None
        self.doubt = False
        self._last = ""

    def on_error(self, error: KafkaError) -> None:
        """The callback `error_cb` of librdkafka."""
        if error.code() in REFUSED:
            self.refusal = error
        elif error.code() in UNKNOWN:
            self.doubt = True
        elif error.code() in AWAY:
            if error.code() != KafkaError._ALL_BROKERS_DOWN:
                self._last = error.str().partition(" (after ")[0]
            if self.outage is not None or error.code() == KafkaError._ALL_BROKERS_DOWN:
                self.outage = self._last or "all brokers are down"

    def reached(self) -> None:
        """Note that the broker has answered."""
        self.outage = None

    def check(self) -> None:
        """Raise AuthenticationFailed if the connection was refused."""
        if self.refusal is not None:
            failure = fault(self.refusal, "to connect")
            self.refusal = None
            raise failure


def make(kind: Callable[[dict[str, Any]], T], settings: dict[str, Any], contact: Contact) -> T:
    """Create a client of that kind. Raises InvalidConnector, which names the invalid setting but never its value."""
    try:
        return kind({**settings, "error_cb": contact.on_error, "logger": _Log()})
    except KafkaException as failure:
        text = error_of(failure).str()
    except (TypeError, ValueError) as failure:
        text = str(failure)
    names = sorted(name for name in settings if name in text) or [_quoted(text)]
    raise InvalidConnector(
        f"The Kafka settings cannot be used: {', '.join(names)}",
        advice="librdkafka does not know a name or value, or they contradict each other: see its CONFIGURATION.md",
    )


def _quoted(text: str) -> str:
    """The quoted part of a message that names a setting by another name than the one we used."""
    parts = text.split('"')
    return parts[1] if len(parts) > 2 else "(unnamed)"


def ask(
    call: Callable[[float], T],
    contact: Contact,
    doing: str,
    *,
    timeout: float = CONNECT_TIMEOUT,
    serve: Callable[[float], object] | None = None,
    topic: str | None = None,
) -> T:
    """Return the result of `call(seconds)`; repeat the call while the broker is unavailable.

    It calls with short timeouts and in between lets `serve(0)` (the client's `poll`) deliver errors, so that it notices
    a refused login at once. Raises AuthenticationFailed; BrokerUnavailable after `timeout` seconds; otherwise the error
    of `fault`.
    """
    end = time.monotonic() + timeout
    patience = 0.25
    while True:
        left = end - time.monotonic()
        try:
            answer = call(max(0.01, min(patience, left)))
        except KafkaException as failure:
            error = error_of(failure)
        else:
            contact.reached()
            return answer
        if serve is not None:
            serve(0)
            contact.check()
        if not heals(error):
            raise fault(error, doing, topic=topic)
        if left <= 0:
            why = contact.outage or error.name()
            raise BrokerUnavailable(f"The broker did not answer within {timeout:g} s when asked {doing} ({why})")
        if error.code() in AWAY:
            time.sleep(0.02)
        patience = min(patience * 2, 3.0)
