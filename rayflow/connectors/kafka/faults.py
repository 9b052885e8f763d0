"""Classifies librdkafka's errors, and translates them into rayflow's."""

from __future__ import annotations

from typing import cast

from confluent_kafka import KafkaError, KafkaException

from rayflow.core.errors import (
    AuthenticationFailed,
    BrokerRefused,
    BrokerUnavailable,
    Fenced,
    RayflowError,
    RecordTooLarge,
    SourceDataLost,
    TopicExists,
    UnknownTopic,
)

REFUSED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)
"""The broker rejects our identity, or we reject the broker's."""

AWAY = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._RETRY,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
    }
)
"""Errors that waiting corrects."""

FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
UNKNOWN = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
REFUSED_RECORD = frozenset(
    {KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD, KafkaError._INVALID_DIFFERENT_RECORD}
)
LOST = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


def error_of(failure: KafkaException) -> KafkaError:
    """The error that an exception of confluent-kafka carries."""
    return cast(KafkaError, failure.args[0])


def heals(error: KafkaError) -> bool:
    """Whether waiting and retrying can help."""
    return error.code() in AWAY or bool(error.retriable())


def fault(
    error: KafkaError,
    doing: str,
    *,
    topic: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
) -> RayflowError:
    """rayflow's error for a librdkafka error that occurred while `doing` ("to create the topic")."""
    code = error.code()
    if code in TOO_LARGE:
        return RecordTooLarge("A record is larger than the topic allows", topic=topic)
    if code in UNKNOWN:
        if partition is not None:
            return UnknownTopic("The topic, or this partition of it, does not exist", topic=topic, partition=partition)
        return UnknownTopic("The topic does not exist", topic=topic)
    if code in REFUSED:
        return AuthenticationFailed(f"The broker refused the connection ({error.name()})")
    if code in FENCED:
        return Fenced("A newer publisher of this job and slot has taken over")
    if code == KafkaError.TOPIC_ALREADY_EXISTS:
        return TopicExists("The topic already exists", topic=topic)
    if code in LOST:
        return SourceDataLost(
            "The broker no longer has the record at this position", topic=topic, partition=partition, offset=offset
        )
    if code in REFUSED_RECORD:
        return BrokerRefused(
            f"The broker refused a record ({error.name()})",
            topic=topic,
            advice="By default Kafka refuses timestamps more than an hour ahead (message.timestamp.after.max.ms), and "
            "records without a key on compacted topics",
        )
    if heals(error):
        return BrokerUnavailable(f"The broker did not answer when asked {doing} ({error.name()})", topic=topic)
    return BrokerRefused(
        f"The broker refused {doing}: {error.str()} ({error.name()})", topic=topic, partition=partition
    )
