"""Settings of a Kafka connector: the user's, rayflow's defaults, and those that rayflow reserves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rayflow.connectors.kafka.security import refuse_plain, refuse_without_own, split_security
from rayflow.core.errors import InvalidConnector
from rayflow.core.topics import ConnectorSpec

ENVIRONMENT = "RAYFLOW_KAFKA_"
"""Prefix of environment variables that become settings: RAYFLOW_KAFKA_SASL_USERNAME is `sasl.username`."""

OWNED = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "delivery.report.only.error",
        "delivery.timeout.ms",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "isolation.level",
        "max.poll.interval.ms",
        "message.send.max.retries",
        "message.timeout.ms",
        "metadata.broker.list",
        "partitioner",
        "request.required.acks",
        "retries",
        "transactional.id",
    }
)
"""Settings on which output without loss and reading by `assign` depend: a user cannot change them."""

_SHARED: dict[str, Any] = {
    "client.id": "rayflow",
    "socket.timeout.ms": 10_000,
    "socket.connection.setup.timeout.ms": 10_000,
    "socket.keepalive.enable": True,
    # A new client's first connection often waits for the first of these, too.
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 2_000,
    # How long a topic may be unknown before it counts as missing.
    "topic.metadata.propagation.max.ms": 5_000,
}

_CONSUMER: dict[str, Any] = {
    # Few requests under load, and no record waits long for others.
    "fetch.min.bytes": 100_000,
    "fetch.wait.max.ms": 5,
    # Check a full queue again soon: a worker empties it faster than librdkafka's default of a second.
    "fetch.queue.backoff.ms": 10,
    "max.partition.fetch.bytes": 4 << 20,
    "queued.min.messages": 50_000,
    # The limit on a consumer's memory for fetched records that were not taken yet.
    "queued.max.messages.kbytes": 64 << 10,
}

_PRODUCER: dict[str, Any] = {
    "batch.size": 1 << 20,
    # The broker refuses the next transaction while it completes the previous one: retry soon.
    "retry.backoff.ms": 10,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 128 << 10,
}

TRANSACTION_TIMEOUT = 60_000
"""ms after which the broker ends a transaction whose producer has died."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\],?#]+)(?::(\d{1,5}))?")


def parse_url(url: str) -> str:
    """The bootstrap servers of a `kafka://host:port,host:port` URL; the default port is 9092.

    Raises InvalidConnector.

    >>> parse_url("kafka://a:9092,b")
    'a:9092,b:9092'
    """
    scheme, _, rest = url.partition("://")
    hosts = [_HOST.fullmatch(part.strip()) for part in rest.rstrip("/").split(",")]
    if scheme != "kafka" or not all(hosts):
        # Do not repeat the URL: it may contain a password by mistake.
        raise InvalidConnector(
            "The broker's URL cannot be used",
            advice="Write kafka://host:port,host:port; credentials belong in config= or RAYFLOW_KAFKA_SASL_*",
        )
    return ",".join(f"{host[1]}:{host[2] or 9092}" for host in hosts if host)


def merge(
    config: Mapping[str, str], environment: Mapping[str, str], url: str = "", run: ConnectorSpec | None = None
) -> dict[str, str]:
    """The user's settings by librdkafka's names. `config` overrides the environment; empty variables are ignored.

    Args:
        url: the cluster's URL. run: the broker of the run; None: the URL is it. Its own settings, and the login and TLS
            settings of the environment, hold for it alone: they are never sent to a cluster that a topic is pinned to.

    Raises InvalidConnector for a setting that rayflow reserves, for settings of TLS or a login without
    security.protocol, and for a pinned cluster that would have had its login from the environment.

    >>> merge({"linger.ms": "5"}, {"RAYFLOW_KAFKA_CLIENT_ID": "me", "HOME": "/"})
    {'client.id': 'me', 'linger.ms': '5'}
    """
    found = {
        name.removeprefix(ENVIRONMENT).lower().replace("_", "."): value
        for name, value in environment.items()
        if value and name.startswith(ENVIRONMENT)
    }
    if run is not None and _is_of(url, run.url):
        found.update(run.config)
    elif run is not None:
        withheld, found = split_security(found)
        refuse_without_own(withheld, config, url)
    found.update(config)
    owned = sorted(OWNED & found.keys())
    if owned:
        raise InvalidConnector(
            f"rayflow itself sets {', '.join(owned)}",
            advice="Remove it from config= and RAYFLOW_KAFKA_*: exactly-once processing depends on it",
        )
    refuse_plain(found)
    return found


def _is_of(url: str, run: str) -> bool:
    """Whether every host of a URL is one that the URL of the run's broker names."""
    return run.startswith("kafka://") and {*parse_url(url).split(",")} <= {*parse_url(run).split(",")}


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """The settings of each kind of client. `repr` shows none of the user's settings, which may be secrets."""

    bootstrap: str
    given: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def transaction_timeout(self) -> float:
        """Seconds after which the broker ends a transaction by itself. Raises InvalidConnector."""
        text = self.given.get("transaction.timeout.ms", TRANSACTION_TIMEOUT)
        try:
            return int(text) / 1_000
        except ValueError:
            raise InvalidConnector("transaction.timeout.ms is not a number of ms") from None

    def admin(self) -> dict[str, Any]:
        """Settings for an AdminClient."""
        return {**_SHARED, **self.given, "bootstrap.servers": self.bootstrap}

    def consumer(self, group: str) -> dict[str, Any]:
        """Settings for a consumer that reads committed records by `assign`; `group` is used only for its commits."""
        return {
            **_SHARED,
            **_CONSUMER,
            **self.given,
            "bootstrap.servers": self.bootstrap,
            "group.id": group,
            "isolation.level": "read_committed",
            # An end-of-partition event has the position after aborted and control records at the end.
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Records that retention has removed cause an error, never a silent jump.
            "auto.offset.reset": "error",
            "max.poll.interval.ms": 86_400_000,
        }

    def producer(self, linger: int) -> dict[str, Any]:
        """Settings for an idempotent producer that partitions like the Java clients. `linger` in ms, unless the user
        sets it."""
        return {
            **_SHARED,
            **_PRODUCER,
            "linger.ms": linger,
            **self.given,
            "bootstrap.servers": self.bootstrap,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "delivery.report.only.error": True,
        }

    def lasting_producer(self) -> dict[str, Any]:
        """Settings for a producer that repeats records for as long as a broker is unavailable."""
        return {**self.producer(linger=2), "message.timeout.ms": 0}

    def transactional_producer(self, transactional_id: str) -> dict[str, Any]:
        """Settings for the producer of one worker's slot. A commit sends at once, so lingering only makes batches
        larger."""
        settings = {
            "transaction.timeout.ms": TRANSACTION_TIMEOUT,
            **self.producer(linger=50),
            "transactional.id": transactional_id,
        }
        if "socket.timeout.ms" not in self.given:  # a request must end before its transaction
            settings["socket.timeout.ms"] = min(settings["socket.timeout.ms"], int(self.transaction_timeout * 1_000))
        return settings
