"""The status of a job, as its coordinator reports it."""

from __future__ import annotations

from dataclasses import dataclass, field

from rayflow.runtimes.ray.deployment import JobState


@dataclass(slots=True)
class WorkerStatus:
    """One worker. Shares are 0 to 1, memory in bytes."""

    slot: int
    host: str
    node: str
    pid: int
    tasks: list[str]
    records_in: int
    records_out: int
    busy: float
    backpressured: float
    memory: int
    heard: float


@dataclass(slots=True)
class JobStatus:
    """One job.

    Attributes:
        state: see JobState. cause: why it failed, or what it waits for.
        epoch: newest committed. epoch_ms: from its barrier to everything published. checkpoint_bytes: of its segments.
        host, pid: of the coordinator's process.
        records_in, records_out, errors: since that began, what a recovery has repeated included.
        rates: records in and out a second, over the last seconds.
        lag: records; watermark: ms; each None when unknown.
        attempts: how many there were. recoveries: seconds from each fault to the next commit, newest last.
        stages: partitions by stage.
    """

    name: str
    state: JobState
    cause: str = ""
    submission: str = ""
    target: str = ""
    broker: str = ""
    checkpoints: str = ""
    since: float = 0.0
    host: str = ""
    pid: int = 0
    epoch: int = 0
    committed: float = 0.0
    epoch_ms: float = 0.0
    checkpoint_bytes: int = 0
    records_in: int = 0
    records_out: int = 0
    errors: int = 0
    rates: tuple[float, float] = (0.0, 0.0)
    lag: int | None = None
    watermark: int | None = None
    attempt: int = 0
    attempts: int = 0
    recoveries: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    stages: dict[str, int] = field(default_factory=dict)
    workers: list[WorkerStatus] = field(default_factory=list)
