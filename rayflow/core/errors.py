"""Every error that a user can meet: one class a cause, a stable code, where it happened, what to do.

A message never holds a record's key or value, and never a secret.
"""

from __future__ import annotations

from typing import ClassVar


class RayflowError(Exception):
    """Base of all errors. `str()` gives `[code] what (where): what to do`.

    Args:
        what: one sentence: what went wrong.
        job, operator, topic, partition, offset: where, as far as it is known.
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
        """The known parts of the place, by name."""
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
    default_advice = "Run the file with plain python to see the whole traceback"


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
    """The dataflow is wrong as written; the message names the line in the job file."""

    code = "RF-1004"
    exit_code = 2


class InvalidSetting(RayflowError, ValueError):
    """A flag, an environment variable or a line of rayflow.toml cannot be used."""

    code = "RF-1005"
    exit_code = 2


# 2xxx: records and the user's own code


class DecodeFailed(RayflowError):
    """A record's bytes do not fit the serde of the stream."""

    code = "RF-2001"
    default_advice = "Correct the serde, or say what to do with such records: on_error=rf.skip or rf.dead_letter(topic)"


class UserFunctionFailed(RayflowError):
    """A function of the job file raised."""

    code = "RF-2002"
    default_advice = (
        "Correct the function, or say what to do with such records: on_error=rf.skip or rf.dead_letter(topic)"
    )


class ValueNotCarried(RayflowError, TypeError):
    """A value has a type that the codec cannot carry between stages or into state."""

    code = "RF-2003"
    default_advice = "Use a rf.Record, a dataclass or plain Python types"


class EncodeFailed(RayflowError):
    """An output record does not fit the serde of its sink."""

    code = "RF-2004"
    default_advice = "Correct the value or the sink's key= and value= serdes"


class RecordTooLarge(RayflowError):
    """An output record is larger than its topic allows."""

    code = "RF-2005"
    default_advice = (
        "Raise max.message.bytes of the topic and message.max.bytes of the producer. Or write smaller records: correct "
        "the job and start it with --from-checkpoint N, an epoch before this one (rayflow checkpoints JOB list)"
    )


class KeyNotUsable(RayflowError, TypeError):
    """A key is not of a type that can be hashed, ordered and stored."""

    code = "RF-2006"
    default_advice = "Key by bytes, str, int, float, bool, date, datetime, UUID or a tuple of these"


# 3xxx: brokers and topics


class UnknownTopic(RayflowError):
    """A topic that the job reads does not exist."""

    code = "RF-3001"
    default_advice = (
        "Create it (rayflow topics create NAME), or correct its name; rayflow topics list shows those that there are"
    )


class BrokerUnavailable(RayflowError):
    """The broker did not answer."""

    code = "RF-3002"
    exit_code = 3
    default_advice = "Check --broker and that the broker runs: rayflow doctor --broker URL"


class AuthenticationFailed(RayflowError):
    """The broker refused the credentials, or the TLS handshake failed."""

    code = "RF-3003"
    exit_code = 3
    default_advice = "Check the security settings (config=, RAYFLOW_KAFKA_*): mechanism, user, password, CA"


class Fenced(RayflowError):
    """A newer attempt of the same job has taken over; this one must not write any more."""

    code = "RF-3004"
    default_advice = "Another process runs this job: stop one of the two"


class MarkerLost(RayflowError):
    """The broker no longer holds a sink's marker, and the last epoch may or may not have been published."""

    code = "RF-3005"
    default_advice = (
        "Look at the output topic, then start with --lost-marker republish@EPOCH or --lost-marker skip@EPOCH"
    )


class PartitionsChanged(RayflowError):
    """A topic has other partitions than the state that is keyed by them."""

    code = "RF-3006"


class SourceDataLost(RayflowError):
    """Records that the job has not read yet are gone from the source."""

    code = "RF-3007"
    default_advice = "The topic's retention is shorter than the job's pause; restore the topic, or start a new job"


class BrokerRefused(RayflowError):
    """The broker refused a request."""

    code = "RF-3008"


class InvalidConnector(RayflowError, ValueError):
    """A broker URL or a connector's settings cannot be used."""

    code = "RF-3009"
    exit_code = 2


class TopicExists(RayflowError):
    """The topic to create exists already."""

    code = "RF-3010"


class CheckpointsBehindOutput(RayflowError):
    """The output is ahead of the newest checkpoint: checkpoints were lost, or the store is another one."""

    code = "RF-3011"
    default_advice = "Give the job the checkpoint store that it last ran with, or take back the one that was removed"


class OutputOfAnotherRun(RayflowError):
    """A job without a checkpoint would begin anew, although it has published before, with other checkpoints."""

    code = "RF-3012"
    default_advice = (
        "Give it the checkpoints of that run (--state, --checkpoints), or another name; "
        "to begin anew and publish everything again: --new-lineage"
    )


class SourceMoved(RayflowError):
    """A topic is read from another system than the one that the checkpoint's positions belong to."""

    code = "RF-3013"
    default_advice = "Give each broker its own --state directory (and --checkpoints), or name the broker of that run"


class TransactionTooShort(RayflowError):
    """An epoch takes longer to send than a Kafka transaction may last."""

    code = "RF-3014"
    default_advice = (
        "Nothing is lost: raise transaction.timeout.ms (in config= or RAYFLOW_KAFKA_TRANSACTION_TIMEOUT_MS; brokers "
        "allow transaction.max.timeout.ms, 15 minutes by default) and start the job again, then the epoch is "
        "published. A smaller memory_limit or checkpoint interval makes later epochs smaller"
    )


class ConnectorCannot(RayflowError):
    """A connector was asked for what its system cannot do."""

    code = "RF-3015"
    exit_code = 2


# 4xxx: state and checkpoints


class DamagedObject(RayflowError):
    """An object of the checkpoint store fails its checksum or is cut short."""

    code = "RF-4001"
    default_advice = (
        "rayflow checkpoints JOB verify lists what is damaged; --from-checkpoint N starts from an older one"
    )


class StateDirectoryMismatch(RayflowError):
    """The state directory belongs to another job."""

    code = "RF-4002"
    default_advice = "Give this job its own --state directory"


class StateWouldBeDropped(RayflowError):
    """The checkpoint holds state of operators that the job no longer has."""

    code = "RF-4003"
    default_advice = "Restore the operator's id with name=..., or start with --drop-state to discard it"


class DiskFull(RayflowError):
    """No space is left where state or checkpoints are written."""

    code = "RF-4004"
    default_advice = "Free space or move --state; nothing is lost: the job goes on from its last checkpoint"


class CheckpointStoreFailed(RayflowError):
    """The checkpoint store could not be read or written."""

    code = "RF-4005"
    default_advice = "Check the checkpoint URI, its credentials and its permissions"


class AlreadyRunning(RayflowError):
    """Another process runs this job on this state directory."""

    code = "RF-4006"
    default_advice = "Stop the other process first, or give this job another --state directory"


class ObjectExists(RayflowError):
    """An object that must be created new exists already in the checkpoint store."""

    code = "RF-4007"


class ObjectMissing(RayflowError):
    """An object that is needed is not in the checkpoint store."""

    code = "RF-4008"
    default_advice = "Check the URI; rayflow checkpoints JOB list shows what there is"


class FormatTooNew(RayflowError):
    """The object was written by a newer rayflow."""

    code = "RF-4009"
    default_advice = "Upgrade rayflow-streams"


class StateKindChanged(RayflowError):
    """A state exists under this name with another kind, other windows or other columns."""

    code = "RF-4010"
    default_advice = "Take the change back, or start with --drop-state, which discards what the state held"


# 5xxx: rayflow itself


class InvariantBroken(RayflowError):
    """The engine found itself in a state that must not occur."""

    code = "RF-5001"
    default_advice = (
        "This is a bug in rayflow: report it with this text; the job goes on from its last checkpoint when restarted"
    )


# 6xxx: Ray clusters


class ClusterUnavailable(RayflowError):
    """No Ray cluster could be reached."""

    code = "RF-6001"
    exit_code = 3
    default_advice = "Start one (ray start --head), or correct --ray"


class JobNameTaken(RayflowError):
    """A job of this name is on the cluster already."""

    code = "RF-6002"
    default_advice = "Stop it first (rayflow stop JOB), or give this one another name"


class JobNotFound(RayflowError):
    """There is no running job of this name where it was looked for."""

    code = "RF-6003"
    exit_code = 2
    default_advice = "rayflow list shows the jobs that are there"


class NotEnoughResources(RayflowError):
    """The cluster has no room for the job's workers."""

    code = "RF-6004"
    default_advice = "Give it nodes, stop another job, or take fewer workers (--workers) or CPUs each (--cpus)"


class VersionMismatch(RayflowError):
    """Two machines run versions that do not work together."""

    code = "RF-6005"
    default_advice = "Install the same versions of rayflow-streams, ray and Python on every machine"


class WorkerLost(RayflowError):
    """A worker process or its node is gone, or does not answer."""

    code = "RF-6006"
    default_advice = "The job goes on by itself; when it happens again and again, look at the node's memory and logs"


class WorkerFailed(RayflowError):
    """A worker could not begin: its environment lacks something that the job needs."""

    code = "RF-6007"
    default_advice = "Install what is missing on every node, or ship it with the job's folder"
