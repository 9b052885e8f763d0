"""RF-2xxx: records and the user's own code."""

from __future__ import annotations

from rayflow.core.errors.base import RayflowError


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


class KeyInSeveralPartitions(RayflowError):
    """A query found rows of one key in several partitions, so there is no single value."""

    code = "RF-2007"
    default_advice = (
        "Records of the key are in several partitions of the topic. Use key_by(...) in place of group_by_key(): it "
        "sends a key to one task"
    )
