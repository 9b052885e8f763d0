"""The status of a job: the same fields for a run in one process and for a job on Ray."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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


SILENT = 5.0
"""Seconds after which a worker counts as silent: it answers several times a second, unless a call keeps it."""


@dataclass(slots=True)
class WorkerStatus:
    """One worker.

    Attributes:
        slot: its number in the job. host: its machine's name. node: Ray's id of the machine; empty without Ray.
        pid: of its process. tasks: "stage/partition" of each that it hosts.
        records_in: read from sources, records_out: taken by sinks, since its process began.
        busy: share of the last half second or so in which it worked, 0 to 1; of a local run: its thread's processor
        time. backpressured: share in which it waited for slower workers downstream, or for calls, 0 to 1.
        memory: bytes that its process has to itself; 0 where the system does not tell.
        heard: seconds since it last answered the coordinator; of a local run: since it was last looked at.
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
        submission: which submission it is, on Ray; else empty. target: the job file as given; empty when there is none.
        broker: URL of the run's broker. checkpoints: URI of the checkpoint store.
        since: when it began (its coordinator's process, on Ray), seconds since the Unix epoch. elapsed: seconds since.
        host, pid: of the process that coordinates the job, which is the only one of a local run.
        epoch: newest committed; 0: none. committed: when, seconds since the Unix epoch; 0.0: not yet.
        epoch_ms: from the last complete epoch's barrier to everything published. checkpoint_bytes: of its segments.
        records_in: read from sources. records_out: taken by sinks. errors: records on which an operator failed,
        whatever on_error= did with them. late: records that came after their window was final. dead_letters: records
        sent to a dead-letter topic. Each since the job began, what a recovery has repeated included.
        rates: records in and out a second, over the last few seconds.
        lag: records of the sources not read yet; None while unknown.
        watermark: lowest event time of all tasks that are not idle, ms since the Unix epoch; None when there is none.
        rows: in the state of all tasks. staged: bytes of output that wait for their epoch to complete.
        attempt: the job's, raised at each recovery. attempts: how many there were since it began.
        recoveries: seconds from each fault to the next commit, newest last.
        pauses: seconds without processing at each planned restart (a rescale, new partitions), newest last.
        stages: how many partitions each stage has. workers: by slot.
        savepoints: URIs of those of the last checkpoint, as they are written at the job's end.
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

    @property
    def silence(self) -> str:
        """Which worker is silent, and for how long; empty if none is, or the job has ended."""
        silent = [worker for worker in self.workers if worker.heard > SILENT]
        if not silent or self.ended:
            return ""
        longest = max(silent, key=lambda worker: worker.heard)
        others = f" (and {len(silent) - 1} more)" if len(silent) > 1 else ""
        return (
            f"worker {longest.slot}{others} has not answered for {longest.heard:.0f} s: "
            "a function of the job may be running that long"
        )

    def snapshot(self) -> JobStatus:
        """A copy with lists and dicts of its own, which later updates leave as it is."""
        return replace(
            self,
            recoveries=list(self.recoveries),
            pauses=list(self.pauses),
            stages=dict(self.stages),
            workers=list(self.workers),  # a WorkerStatus is replaced, never changed
            savepoints=list(self.savepoints),
        )
