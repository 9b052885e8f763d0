"""Submitting the tests' jobs, and waiting for what they do."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from rayflow.core.errors import RayflowError
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray.client import JobHandle
from rayflow.runtimes.ray.spec import JobSpec
from tests.e2e.brokers import Broker
from tests.kafka.client import until

FILE = Path(__file__).with_name("job_files.py")
LONG = 180.0
"""Seconds that anything may take on a machine that does much else."""
INTERVAL = 100
"""Between two checkpoints, ms."""


def spec_of(
    variable: str, broker: Broker, state: Path, *, workers: int = 2, name: str | None = None, **more: Any
) -> JobSpec:
    """A submission of a job of `job_files.py`, or of another file if that is a path.

    `more` is for JobSpec or RunOptions.
    """
    own = {key: more.pop(key) for key in set(more) & set(JobSpec.__dataclass_fields__)}
    own.setdefault("cpus", 0.5)
    own.setdefault("parameters", {"tag": broker.tag})
    own.setdefault("heartbeat_timeout", 15.0)
    more.setdefault("checkpoint_interval", INTERVAL)
    target = variable if "/" in variable else f"{FILE}:{variable}"
    options = RunOptions(broker=broker.url, broker_config=broker.config, state=state, **more)
    return JobSpec(
        name or broker.name(variable.replace("_", "-")),
        target,
        options,
        uuid.uuid4().hex,
        uuid.uuid4().hex,
        workers=workers,
        **own,
    )


def until_status(job: JobHandle, condition: Any, seconds: float = LONG) -> JobStatus:
    """Wait for a status that fulfils `condition`. Raises what the job fails with."""

    def met() -> JobStatus | None:
        status = job.status()
        if status.state == "failed":
            raise AssertionError(f"the job has failed: {status.cause}\n" + "\n".join(job.logs()[1][-20:]))
        return status if condition(status) else None

    found: JobStatus = until(met, seconds, 0.05)
    return found


def until_commits(job: JobHandle, since: int | None = None, seconds: float = LONG) -> JobStatus:
    """Wait for a commit after epoch `since`, by default of the newest one now."""
    before = job.status().epoch if since is None else since
    return until_status(job, lambda status: status.epoch > before and status.state == "running", seconds)


def failure_of(job: JobHandle, seconds: float = LONG) -> RayflowError:
    """Wait until the job fails; the error."""
    try:
        status = job.until_ended(seconds)
    except RayflowError as error:
        return error
    raise AssertionError(f"the job is {status.state} instead of failing")
