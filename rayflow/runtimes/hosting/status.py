"""The status of a job: the same fields for a run in one process and for a job on Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

JobState = Literal[
    "starting",
    "restoring",
    "running",
    "waiting",
    "recovering",
    "rescaling",
    "stopping",
    "done",
    "stopped",
    "failed",
]
"""starting: nothing is set up yet. restoring: state is being brought to the last checkpoint. running: records are
processed. waiting: for a broker, or for resources of the cluster. recovering: a fault has ended an attempt, and the
next one is being set up. rescaling: the number of workers is being changed. stopping: the final checkpoint is being
taken. done: ended by itself, or drained. stopped: ended on request. failed: ended by an error."""
ENDED: tuple[JobState, ...] = ("done", "stopped", "failed")


@dataclass(slots=True)
class WorkerStatus:
    """One worker.

    Attributes:
        slot: its number in the job.
        host: its machine's name.
        node: Ray's id of the machine; empty without Ray.
        pid: its process.
        tasks: "stage/partition" of each task that it hosts.
        records_in, records_out: read from sources, taken by sinks, since its process started.
        busy: share of about the last half second in which it worked, 0 to 1; for a local run: its thread's CPU time.
        backpressured: share in which it waited for slower workers downstream, 0 to 1.
        memory: private bytes of its process; 0 if the system does not report them.
        heard: seconds since it last answered the coordinator; for a local run: since its last measurement.
    """

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
    """The status of one job, updated a few times per second.

    Attributes:
        name: the job's.
        state: see JobState.
        cause: why it failed, or what it waits for; otherwise empty.
        runtime: "local": one process. "ray": a cluster.
        submission: the id of its submission on Ray; otherwise empty.
        target: the job file as given; empty if there is none.
        broker: URL of the run's broker.
        checkpoints: URI of the checkpoint store.
        since: when it started (on Ray: its coordinator's process), in seconds since the Unix epoch.
        elapsed: seconds since then.
        host, pid: the process that coordinates the job, which is the only one of a local run.
        epoch: the newest committed one; 0: none.
        committed: when, in seconds since the Unix epoch; 0.0: not since the job started.
        epoch_ms: from the last complete epoch's barrier until everything was published.
        checkpoint_bytes: size of its segments.
        records_in, records_out: read from sources, taken by sinks.
        errors: records on which an operator failed, whatever the result of on_error= was.
        late: records that arrived after their window was final.
        dead_letters: records sent to a dead-letter topic. These five count since the job started, and include records
            that a recovery has repeated.
        rates: records in and out per second, over the last few seconds.
        lag: records of the sources that were not read yet; None if unknown.
        watermark: lowest event time of all tasks, ms since the Unix epoch; None if there is none.
        rows: rows in the state of all tasks.
        staged: bytes of output that wait for their epoch to complete.
        attempt: the job's, increased by each recovery.
        attempts: their number since the job started.
        recoveries: seconds from each fault to the next commit, newest last.
        pauses: seconds without processing at each rescale, newest last.
        stages: the number of partitions of each stage.
        workers: by slot.
        savepoints: URIs of the savepoints of the final checkpoint, as they are written at the end of the job.
    """

    name: str
    state: JobState = "starting"
    cause: str = ""
    runtime: Literal["local", "ray"] = "local"
    submission: str = ""
    target: str = ""
    broker: str = ""
    checkpoints: str = ""
    since: float = 0.0
    elapsed: float = 0.0
    host: str = ""
    pid: int = 0
    epoch: int = 0
    committed: float = 0.0
    epoch_ms: float = 0.0
    checkpoint_bytes: int = 0
    records_in: int = 0
    records_out: int = 0
    errors: int = 0
    late: int = 0
    dead_letters: int = 0
    rates: tuple[float, float] = (0.0, 0.0)
    lag: int | None = None
    watermark: int | None = None
    rows: int = 0
    staged: int = 0
    attempt: int = 0
    attempts: int = 0
    recoveries: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    stages: dict[str, int] = field(default_factory=dict)
    workers: list[WorkerStatus] = field(default_factory=list)
    savepoints: list[str] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the job has ended: done, stopped or failed."""
        return self.state in ENDED
