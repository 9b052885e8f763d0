"""The interface to watch and control a running job: the same for a local run and for a job on Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from rayflow.runtimes.hosting.status import JobStatus


class JobControl(ABC):
    """One job, wherever it runs. `name`: the job's.

    Every method raises JobNotFound when the job is not running, and WorkerLost when its coordinator does not answer in
    time: 60 s on Ray, which may have to restart it, 10 s for a local run. An error of the job is raised here with its
    own class.
    """

    name: str

    @abstractmethod
    def status(self) -> JobStatus:
        """Current status."""

    @abstractmethod
    def until_ended(self, timeout: float | None = None) -> JobStatus:
        """Wait for the end; return the final status. Raises the job's error; WorkerLost after `timeout` s."""

    @abstractmethod
    def watch(self, every: float = 0.5) -> Iterator[JobStatus]:
        """Yield the status every `every` seconds; the last one is final. Does not raise the error of a failed job."""

    @abstractmethod
    def logs(self, after: int = 0) -> tuple[int, list[str]]:
        """The number of lines logged so far, and the kept lines after the first `after`."""

    @abstractmethod
    def savepoint(self, uri: str) -> int:
        """Write the next checkpoint as a savepoint to `uri` (absolute); return its epoch when it is complete.

        Raises ObjectExists when one exists, InvalidSetting for an unusable URI, the errors of the stores, and
        RayflowError when the job ends before.
        """

    @abstractmethod
    def rescale(self, workers: int) -> JobStatus:
        """Change the number of workers; return the status when they process records.

        Raises NotEnoughResources or WorkerFailed when the job keeps its workers, InvalidSetting for a local run, which
        has one worker.
        """

    @abstractmethod
    def ask_to_stop(self, *, drain: bool = False, savepoint: str | None = None) -> None:
        """Ask the job to stop after a final checkpoint and to publish its output; do not wait.

        `drain`: fire every open window and event-time timer first. It replaces a stop until the final checkpoint has
        begun; the final status says which of the two happened. `savepoint`: the URI (absolute) of a savepoint to write,
        in addition to those of other requests. Raises RayflowError if it is too late for that. `until_ended` raises the
        errors of writing it.
        """

    @abstractmethod
    def stop(self, *, drain: bool = False, savepoint: str | None = None, timeout: float | None = None) -> JobStatus:
        """Like `ask_to_stop`, but wait for the end, and return the final status. After that, the job's name is free.

        With `savepoint`, this returns only if that savepoint was written. Raises the errors of writing it (ObjectExists
        if the target already has one), RayflowError if the job ended before, the job's error, WorkerLost after
        `timeout` s.
        """

    @abstractmethod
    def remove(self) -> None:
        """Stop the job at once, without a final checkpoint; the next start resumes from the newest one. On Ray, also
        remove a job that has ended from the cluster."""
