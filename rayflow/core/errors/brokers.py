"""RF-3xxx: brokers and topics."""

from __future__ import annotations

from rayflow.core.errors.base import RayflowError


class UnknownTopic(RayflowError):
    """A topic or partition does not exist."""

    code = "RF-3001"
    default_advice = (
        "Create the topic (rayflow topics create NAME), or correct its name; rayflow topics list shows all topics"
    )


class BrokerUnavailable(RayflowError):
    """The broker did not answer."""

    code = "RF-3002"
    exit_code = 3
    default_advice = "Check --broker, and that the broker is running: rayflow doctor --broker URL"


class AuthenticationFailed(RayflowError):
    """The broker refused the credentials, or the TLS handshake failed."""

    code = "RF-3003"
    exit_code = 3
    default_advice = "Check the security settings (config=, RAYFLOW_KAFKA_*): mechanism, user, password, CA"


class Fenced(RayflowError):
    """A newer attempt of the same job has taken over and fenced this one, which can no longer write."""

    code = "RF-3004"
    default_advice = "Another process is running this job: stop one of the two"


class MarkerLost(RayflowError):
    """The broker has lost a sink's marker, so it is unknown whether the last epoch was published."""

    code = "RF-3005"
    default_advice = "Check the output topic, then start with --lost-marker republish@EPOCH or --lost-marker skip@EPOCH"


class PartitionsChanged(RayflowError):
    """A topic's number of partitions differs from that of the state keyed by it."""

    code = "RF-3006"


RECREATED = "Its old offsets mean nothing now. Restore the topic, or start a new job (rename it)"
"""Advice for a topic that has been deleted and made again."""


class SourceDataLost(RayflowError):
    """Records were deleted from the source before the job read them."""

    code = "RF-3007"
    default_advice = (
        "The topic's retention is shorter than the job was down or behind. Restore the topic, or start a new job"
    )


class BrokerRefused(RayflowError):
    """The broker refused a request."""

    code = "RF-3008"


class InvalidConnector(RayflowError, ValueError):
    """A broker URL or a connector's settings are invalid."""

    code = "RF-3009"
    exit_code = 2


class TopicExists(RayflowError):
    """The topic already exists."""

    code = "RF-3010"


class CheckpointsBehindOutput(RayflowError):
    """The published output is ahead of the newest checkpoint: checkpoints were lost, or this is another store."""

    code = "RF-3011"
    default_advice = "Start the job with the checkpoint store of its last run, or restore the deleted checkpoints"


class OutputOfAnotherRun(RayflowError):
    """The job has published output with other checkpoints; without them it would start over and publish it again."""

    code = "RF-3012"
    default_advice = (
        "Use the checkpoints of that run (--state, --checkpoints), or rename the job; "
        "to start over and publish everything again: --new-lineage"
    )


class SourceMoved(RayflowError):
    """The checkpoint's positions belong to a topic on another broker."""

    code = "RF-3013"
    default_advice = "Use a separate --state directory (and --checkpoints) per broker, or set --broker as in that run"


class TransactionTooShort(RayflowError):
    """Publishing an epoch takes longer than transaction.timeout.ms."""

    code = "RF-3014"
    default_advice = (
        "No data is lost. Raise transaction.timeout.ms (in config= or RAYFLOW_KAFKA_TRANSACTION_TIMEOUT_MS; at most "
        "the broker's transaction.max.timeout.ms, by default 15 minutes) and restart the job: it publishes the epoch. "
        "A smaller memory_limit or checkpoint_interval makes later epochs smaller"
    )


class ConnectorCannot(RayflowError):
    """The job or command needs an operation that the connector does not support."""

    code = "RF-3015"
    exit_code = 2
