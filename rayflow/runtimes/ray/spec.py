"""The specification of a job on a Ray cluster: the arguments with which its actors are created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rayflow.checkpoint.savepoint_place import check_place
from rayflow.core.parameters import provide
from rayflow.plan.compile import plan_of
from rayflow.plan.load import load_job
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.version import __version__

NAMESPACE = "rayflow"
"""The Ray namespace of all coordinators. A coordinator has the name of its job."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A submitted job.

    Attributes:
        name: the job's.
        target: its file, relative to the shipped working directory; ":VARIABLE" may follow.
        submission: identifies this submission.
        secret: with which its workers identify themselves to each other.
        options: as for any run; `state` is a directory on every node, `checkpoints` a store that all nodes reach.
        parameters: what the job file reads with rf.setting().
        workers: slots at first; 0: one per partition of the widest source, as long as CPUs last.
        max_workers: up to which the job gets more by itself, and down to `workers` again; 0: their number stays.
        scaling_cooldown: seconds between two such changes.
        cpus: of each worker. strategy: how Ray spreads the workers over nodes.
        heartbeat_timeout: seconds of silence after which a worker is given up.
        start_timeout: seconds that the creation of a worker may take.
        max_restarts: consecutive attempts that commit nothing before the job fails.
        metrics_port: the port of the coordinator's metrics on its node (0: any free one); None: no metrics.
        version: of rayflow where the job was submitted.
    """

    name: str
    target: str
    options: RunOptions
    submission: str
    secret: str = field(repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    workers: int = 0
    max_workers: int = 0
    scaling_cooldown: float = 120.0
    cpus: float = 1.0
    strategy: Literal["SPREAD", "DEFAULT"] = "SPREAD"
    heartbeat_timeout: float = 10.0
    start_timeout: float = 60.0
    max_restarts: int = 10
    log_level: str = "info"
    metrics_port: int | None = None
    metrics_address: str = "127.0.0.1"
    version: str = __version__

    @property
    def checkpoints(self) -> str:
        """URI of the checkpoint store."""
        return self.options.checkpoint_store(self.name)

    @property
    def broker(self) -> str:
        """URL of the broker."""
        return self.options.broker_url

    def check_savepoint(self, uri: str) -> None:
        """Raise what makes a savepoint at `uri` fail. See `check_place`."""
        check_place(uri, self.checkpoints, self.name, self.options.folders)

    def check_savepoint_at_stop(self) -> None:
        """Raise what makes the savepoint of the job's end fail, if one is wanted."""
        if self.options.savepoint_at_stop is not None:
            self.check_savepoint(self.options.savepoint_at_stop)

    def plan(self) -> JobPlan:
        """Import the job file in this process, and compile it. Raises the errors of both."""
        provide(dict(self.parameters))
        return plan_of(load_job(self.target))
