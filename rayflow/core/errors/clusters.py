"""RF-6xxx: Ray clusters."""

from __future__ import annotations

from rayflow.core.errors.base import RayflowError


class ClusterUnavailable(RayflowError):
    """No Ray cluster could be reached."""

    code = "RF-6001"
    exit_code = 3
    default_advice = (
        "Start one (ray start --head), or correct --ray or RAY_ADDRESS. If either is set and the cluster uses tokens, "
        "also set RAY_AUTH_MODE=token: Ray uses its token by itself only without an address"
    )


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
