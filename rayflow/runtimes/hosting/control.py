"""How a running job is seen and steered from outside: one interface for a run in one process and for a job on Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from rayflow.runtimes.hosting.status import JobStatus


class JobControl(ABC):
    """One job, wherever it runs. `name`: the job's.

    Every method raises JobNotFound when the job does not run (any more), and WorkerLost when whoever coordinates it
    does not answer in time: 60 s on Ray, which may have to restart it, 10 s for a local run. An error of the job is
    raised here as the class that it has there.
    """

    name: str

    @abstractmethod
    def status(self) -> JobStatus:
        """Current status."""

    @abstractmethod
    def until_ended(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has ended; its last status. Raises what it failed with; WorkerLost after `timeout` s."""

    @abstractmethod
    def watch(self, every: float = 0.5) -> Iterator[JobStatus]:
        """Its status every so many seconds; the last one is that of its end. A failed job is no error here."""

    @abstractmethod
    def logs(self, after: int = 0) -> tuple[int, list[str]]:
        """How many lines the job's processes have logged, and those after the first `after` that are still kept."""

    @abstractmethod
    def savepoint(self, uri: str) -> int:
        """Keep the next checkpoint as a savepoint at `uri` (absolute); its epoch, once it is written.

        Raises ObjectExists when there is one already, InvalidSetting when the URI cannot be used, what the stores
        raise, and RayflowError when the job ends before.
        """

    @abstractmethod
    def rescale(self, workers: int) -> JobStatus:
        """Go on with this many workers; the status, once they process records.

        Raises why the job goes on as it is: NotEnoughResources, WorkerFailed; InvalidSetting for a local run, which
        has one worker.
        """

    @abstractmethod
    def ask_to_stop(self, *, drain: bool = False, savepoint: str | None = None) -> None:
        """Have the job end after a last checkpoint with everything published, without waiting for that.

        `drain`: fire every open window and event-time timer first; it replaces a stop until the last checkpoint has
        begun, and the last status says which it was. `savepoint`: the URI (absolute) of one to write, besides those
        that others ask for. Raises RayflowError when it is too late for that; `until_ended` raises what writing it
        raises.
        """

    @abstractmethod
    def stop(self, *, drain: bool = False, savepoint: str | None = None, timeout: float | None = None) -> JobStatus:
        """The same, and wait for the end; its last status. The job's name is free then.

        With `savepoint`, this returns only if that one was written. Raises what writing it raises (ObjectExists when
        there is one already), RayflowError when the job ended before, what the job fails with, WorkerLost after
        `timeout` s.
        """

    @abstractmethod
    def remove(self) -> None:
        """End the job at once, without a last checkpoint; the next start goes on from the newest one. On Ray, also
        take a job that has ended off the cluster."""
