"""The options of a run, for every runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rayflow.engine.recovery import LostMarker


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of one run.

    Attributes:
        broker: `kafka://host:9092` or `embedded:PATH`; None: the embedded log under `state`.
        broker_config: the connector's settings (Kafka: librdkafka's, secrets included).
        state: directory for local data: LMDB, lock, and by default embedded log and checkpoints.
        checkpoints: URI of the job's own checkpoint store; None: `file:` under `state`.
        until_end: stop at the end offsets seen at the start. keep_open: do not drain there, so that windows and timers
            stay as they are for the next run.
        from_savepoint: URI of a savepoint to start from. from_checkpoint: an older checkpoint's epoch to start from.
        savepoint_at_stop: URI to write a savepoint to when the job stops.
        drop_state: discard the state of operators that were removed or changed.
        allow_new_partitions: accept that a source partitioned by key has more partitions than its state.
        new_lineage: without a checkpoint, start over even if the sinks have markers of an earlier run.
        lost_marker: what to do about the epoch whose marker is lost; None: refuse.
        checkpoint_interval: ms; None: the job's own. retain: checkpoints kept.
        memory_limit: bytes that overlays and staged output may take, of the open epoch and of the one in flight, an
            estimate; half of it in the open one brings the next barrier forward.
        max_poll_records: records taken from a source at once.
    """

    broker: str | None = None
    broker_config: Mapping[str, str] = field(default_factory=dict, repr=False)
    state: Path = Path("rayflow-data")
    checkpoints: str | None = None
    until_end: bool = False
    keep_open: bool = False
    from_savepoint: str | None = None
    from_checkpoint: int | None = None
    savepoint_at_stop: str | None = None
    drop_state: bool = False
    allow_new_partitions: bool = False
    new_lineage: bool = False
    lost_marker: LostMarker | None = None
    checkpoint_interval: int | None = None
    retain: int = 3
    memory_limit: int = 256 << 20
    max_poll_records: int = 10_000

    @property
    def broker_url(self) -> str:
        """The broker of the run."""
        return self.broker or f"embedded:{self.state.absolute() / 'log'}"

    def job_folder(self, job: str) -> Path:
        """The directory of a job's local data."""
        return self.state.absolute() / "jobs" / job

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that the run and its jobs manage themselves: local data, and the embedded log if it uses one."""
        scheme, _, log = self.broker_url.partition(":")
        return (self.state.absolute() / "jobs", *([Path(log).absolute()] if scheme == "embedded" else []))

    def checkpoint_store(self, job: str) -> str:
        """URI of a job's checkpoint store."""
        return self.checkpoints or f"file:{self.job_folder(job) / 'checkpoints'}"
