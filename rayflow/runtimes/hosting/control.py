"""The interface to watch and control a running job: the same for a local run and for a job on Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from rayflow.runtimes.hosting.status import JobStatus


class JobControl(ABC):
    """One job, wherever it runs. `name`: the job's.

    Every method raises JobNotFound when the job is not there, and WorkerLost when its coordinator does not answer in
    time: 60 s on Ray, which may have to restart it, 10 s for a local run. Methods that wait for the job itself
    (`until_ended`, `stop`, `savepoint`, `rescale`) have no limit but their `timeout`. An error of the job is raised
    here with its own class.
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
    def query(self, operator: str, keys: Sequence[Any], *, table: str | None = None) -> list[Any]:
        """Read rows of an operator's table: the value at each of `keys`, in their order, None where there is no row.

        A value is what the operator emits for the key (an aggregation's result, the content of an `rf.value`), of the
        last epoch that its task has completed, so it is never taken back; values of one answer may be of two epochs.
        Records and dataclasses come as dicts, other types as they are, so the caller needs no job file.

        Args:
            operator: its id, as `rayflow describe` shows it.
            keys: up to 1,000, each a key as in the job; equal keys (1, 1.0, True) are one.
            table: name of the state; None if there is only one with one value per key (lists, maps, windows and timers
                cannot be queried).

        A query waits while the job starts, recovers or is rescaled: WorkerLost if it does not run within 5 s (a local
        run) or 45 s (Ray), or if the job is restarted twice before it answers. Raises InvalidSetting for an operator or
        table that does not exist and for a query or an answer (8 MiB) that is too large, KeyNotUsable,
        KeyInSeveralPartitions, UserFunctionFailed if the result of a row cannot be computed.
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
        remove a job that has ended from the cluster.

        A Kafka transaction that is being written stays open until the next start, or until the broker's timeout."""
