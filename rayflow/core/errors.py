"""All errors that rayflow raises: one class per cause, with a stable code, a place and advice.

A message never contains a record's key or value, and never a secret.
"""

from __future__ import annotations

from typing import ClassVar


class RayflowError(Exception):
    """Base class of all errors. `str(error)` is `[code] what (where). what to do`.

    Args:
        what: one sentence that says what went wrong.
        job, operator, topic, partition, offset: where it happened, as far as it is known.
        advice: what to do; each class has a default.
    """

    code: ClassVar[str] = "RF-0000"
    exit_code: ClassVar[int] = 1
    default_advice: ClassVar[str] = ""

    def __init__(
        self,
        what: str,
        *,
        job: str | None = None,
        operator: str | None = None,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.job = job
        self.operator = operator
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.advice = self.default_advice if advice is None else advice

    @property
    def where(self) -> dict[str, str | int]:
        """The known parts of the place where it happened, by name."""
        places = ("job", "operator", "topic", "partition", "offset")
        return {name: getattr(self, name) for name in places if getattr(self, name) is not None}

    def __str__(self) -> str:
        where = " ".join(f"{name}={value}" for name, value in self.where.items())
        text = f"[{self.code}] {self.what}"
        if where:
            text += f" ({where})"
        return f"{text}. {self.advice}" if self.advice else text


# 1xxx: the job file and how it is run


class JobFileFailed(RayflowError):
    """The job file could not be imported."""

    code = "RF-1001"
    exit_code = 2
    default_advice = "Run the file with python to see the full traceback"


class NoJobFound(RayflowError):
    """The job file defines no Job at module level."""

    code = "RF-1002"
    exit_code = 2
    default_advice = 'Define one at module level: job = rf.Job("name")'


class SeveralJobs(RayflowError):
    """The job file defines more than one Job."""

    code = "RF-1003"
    exit_code = 2
    default_advice = "Name the one to run: FILE:VARIABLE"


class InvalidJob(RayflowError, ValueError):
    """The dataflow is invalid; the message names the line in the job file."""

    code = "RF-1004"
    exit_code = 2


class InvalidSetting(RayflowError, ValueError):
    """A flag, an environment variable or an entry of rayflow.toml is invalid."""

    code = "RF-1005"
    exit_code = 2


# 2xxx: records and the user's own code


class DecodeFailed(RayflowError):
    """A record could not be decoded with the stream's serde."""

    code = "RF-2001"
    default_advice = "Correct the serde, or skip or dead-letter such records: on_error=rf.skip or rf.dead_letter(topic)"


class UserFunctionFailed(RayflowError):
    """A function of the job raised an exception."""

    code = "RF-2002"
    default_advice = (
        "Correct the function, or skip or dead-letter such records: on_error=rf.skip or rf.dead_letter(topic)"
    )


class ValueNotCarried(RayflowError, TypeError):
    """A value's type cannot be sent between stages or stored in state."""

    code = "RF-2003"
    default_advice = "Use an rf.Record, a dataclass or built-in Python types"


class EncodeFailed(RayflowError):
    """An output record could not be encoded with the sink's serde."""

    code = "RF-2004"
    default_advice = "Correct the value or the sink's key= and value= serdes"


class RecordTooLarge(RayflowError):
    """An output record is larger than its topic allows."""

    code = "RF-2005"
    default_advice = (
        "Raise the topic's max.message.bytes and the producer's message.max.bytes. Or change the job to write smaller "
        "records, and start it from a checkpoint before this epoch: --from-checkpoint N (rayflow checkpoints JOB list)"
    )


class KeyNotUsable(RayflowError, TypeError):
    """A key's type or value cannot be hashed, ordered and stored."""

    code = "RF-2006"
    default_advice = "Use keys of bytes, str, int, float, bool, date, datetime, UUID or a tuple of these"


# 3xxx: brokers and topics


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


# 4xxx: state and checkpoints


class DamagedObject(RayflowError):
    """A stored object is damaged: its checksum is wrong, or it is truncated."""

    code = "RF-4001"
    default_advice = (
        "rayflow checkpoints JOB verify lists damaged objects; --from-checkpoint N starts from an older checkpoint"
    )


class StateDirectoryMismatch(RayflowError):
    """The state directory or the checkpoints belong to another job, or the directory cannot be used."""

    code = "RF-4002"
    default_advice = "Use a --state directory and a --checkpoints URI that no other job uses"


class StateWouldBeDropped(RayflowError):
    """The checkpoint contains state of operators that the job no longer has."""

    code = "RF-4003"
    default_advice = "Restore the operator's id with name=..., or start with --drop-state to discard it"


class DiskFull(RayflowError):
    """The disk that holds state, checkpoints or topics is full."""

    code = "RF-4004"
    default_advice = "Free disk space or move --state. No data is lost: the job resumes from its last checkpoint"


class CheckpointStoreFailed(RayflowError):
    """The checkpoint store could not be read or written."""

    code = "RF-4005"
    default_advice = "Check the checkpoint URI, its credentials and its permissions"


class AlreadyRunning(RayflowError):
    """Another process is running this job with this state directory."""

    code = "RF-4006"
    default_advice = "Stop the other process, or use another --state directory"


class ObjectExists(RayflowError):
    """An object to be created already exists in the checkpoint store."""

    code = "RF-4007"


class ObjectMissing(RayflowError):
    """An object is missing from the checkpoint store."""

    code = "RF-4008"
    default_advice = "Check the URI; rayflow checkpoints JOB list shows the checkpoints"


class FormatTooNew(RayflowError):
    """Stored data was written by a newer version of rayflow."""

    code = "RF-4009"
    default_advice = "Upgrade rayflow-streams"


class StateKindChanged(RayflowError):
    """A state was stored with another kind, other windows or other columns than the job now declares."""

    code = "RF-4010"
    default_advice = "Undo the change, or start with --drop-state, which discards the stored state"


# 5xxx: rayflow itself


class InvariantBroken(RayflowError):
    """An internal check failed."""

    code = "RF-5001"
    default_advice = (
        "This is a bug in rayflow: please report it with this text. A restarted job resumes from its last checkpoint"
    )


# 6xxx: Ray clusters


class ClusterUnavailable(RayflowError):
    """No Ray cluster could be reached."""

    code = "RF-6001"
    exit_code = 3
    default_advice = "Start one (ray start --head), or correct --ray"


class JobNameTaken(RayflowError):
    """A job with this name is already on the cluster."""

    code = "RF-6002"
    default_advice = "Stop it first (rayflow stop JOB), or rename this job"


class JobNotFound(RayflowError):
    """No running job with this name was found."""

    code = "RF-6003"
    exit_code = 2
    default_advice = "rayflow list shows the jobs that are there"


class NotEnoughResources(RayflowError):
    """The cluster has too few free CPUs for the job's workers."""

    code = "RF-6004"
    default_advice = "Add nodes, stop another job, or use fewer workers (--workers) or CPUs per worker (--cpus)"


class VersionMismatch(RayflowError):
    """Two machines run incompatible versions of rayflow, Ray or Python."""

    code = "RF-6005"
    default_advice = "Install the same versions of rayflow-streams, ray and Python on every machine"


class WorkerLost(RayflowError):
    """A worker or coordinator process, or its node, is gone or does not answer."""

    code = "RF-6006"
    default_advice = "The job recovers automatically; if this repeats, check the node's memory and logs"


class WorkerFailed(RayflowError):
    """A worker or the coordinator could not start, for example because a module is missing on its node."""

    code = "RF-6007"
    default_advice = "Install what is missing on every node, or put it into the job's folder, which is shipped"
