"""Writes requested savepoints, and passes the results between the coordinator's threads."""

from __future__ import annotations

from dataclasses import dataclass

from rayflow.checkpoint.manifest import Manifest, newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.savepoint import write_savepoint
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import RayflowError
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.ports import Background

log = get_logger("rayflow.coordinator")


@dataclass(slots=True)
class Savepoint:
    """A savepoint that somebody waits for; `done` comes last."""

    uri: str
    epoch: int | None = None
    error: RayflowError | None = None
    done: bool = False

    def write(self, store: CheckpointStore, manifest: Manifest) -> None:
        """Write it of this checkpoint, which nobody deletes meanwhile; what goes wrong is kept as `error`."""
        try:
            write_savepoint(store, manifest, open_store(self.uri))
        except RayflowError as error:
            self.error = error
        else:
            self.epoch = manifest.epoch
            log.info("savepoint written", job=manifest.job, epoch=manifest.epoch, uri=self.uri)
        self.done = True


class Savepoints:
    """Those that are to be written of the next checkpoint."""

    def __init__(self) -> None:
        self._waiting: list[Savepoint] = []

    def ask(self, savepoint: Savepoint) -> None:
        """Have one more written."""
        self._waiting.append(savepoint)

    def write(self, store: CheckpointStore, manifest: Manifest, background: Background) -> None:
        """Write all, one after the other with whatever else writes and deletes checkpoints."""
        if not self._waiting:
            return
        asked = list(self._waiting)

        def write() -> None:
            for savepoint in asked:
                savepoint.write(store, manifest)

        def then(_: None) -> None:  # one whose attempt ends before is written of the next attempt's first checkpoint
            self._waiting = [savepoint for savepoint in self._waiting if not savepoint.done]

        background.call(write, then)


def write_last(store: CheckpointStore, uri: str) -> None:
    """Write one of the newest checkpoint, now. Raises what writing it raises."""
    manifest = newest_manifest(store)
    if manifest is not None:
        savepoint = Savepoint(uri)
        savepoint.write(store, manifest)
        if savepoint.error is not None:
            raise savepoint.error
