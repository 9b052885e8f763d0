"""RF-4xxx: state and checkpoints."""

from __future__ import annotations

from rayflow.core.errors.base import RayflowError


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
    """The job is already running, in another process or on Ray."""

    code = "RF-4006"
    default_advice = (
        "rayflow status JOB shows where it runs, and rayflow stop JOB ends it (on another cluster: --ray ADDRESS). "
        "To run a second copy beside it, rename the job"
    )


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
