"""Savepoints of a job's last checkpoint: asked for until the job has ended, written then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rayflow.checkpoint.manifest import newest_manifest
from rayflow.checkpoint.open import open_store
from rayflow.checkpoint.savepoint import write_savepoint
from rayflow.checkpoint.savepoint_place import check_outside
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import RayflowError
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.savepoints import Savepoint, ended_before

log = get_logger("rayflow.coordinator")


class LastSavepoints:
    """Every URI that was asked for, once, in that order."""

    def __init__(self, uris: Iterable[str] = ()) -> None:
        self._asked: dict[str, Savepoint] = {}
        for uri in uris:
            self.ask(uri)

    def ask(self, uri: str) -> None:
        """Have one written at `uri`. Whoever asks for the same one again waits for the same one."""
        self._asked.setdefault(uri, Savepoint(uri))

    @property
    def uris(self) -> list[str]:
        """All that were asked for."""
        return list(self._asked)

    @property
    def written(self) -> list[str]:
        """The savepoints that are written."""
        return [savepoint.uri for savepoint in self._asked.values() if savepoint.epoch is not None]

    def next(self) -> Savepoint | None:
        """The next one to write, if there is one."""
        return next((savepoint for savepoint in self._asked.values() if not savepoint.done), None)

    def give_up(self) -> None:
        """Fail those that are not written: the user no longer waits. What a copy still does counts no more."""
        for uri, savepoint in self._asked.items():
            if not savepoint.done:
                error = RayflowError(
                    f"the run was stopped at once, before savepoint {uri} was written",
                    advice="The checkpoints are complete: start the job again to write a savepoint",
                )
                self._asked[uri] = Savepoint(uri, error=error, done=True)

    def check(self) -> None:
        """Raise the error of the first one that could not be written: the job fails with it."""
        for savepoint in self._asked.values():
            if savepoint.error is not None:
                raise savepoint.error

    def answer(self, uri: str, job: str, failure: Exception | None) -> None:
        """Return if the one at `uri` was written; else raise why not. Once the job has ended; `failure`: with what."""
        if uri not in self.written:
            savepoint = self._asked.get(uri)
            raise (None if savepoint is None else savepoint.error) or failure or ended_before(job)


def write_last(store: CheckpointStore, savepoint: Savepoint, folders: Sequence[Path] = ()) -> None:
    """Copy the newest checkpoint of a job that has ended. An error is kept for the requester.

    `folders`: where none may be written (`RunOptions.folders`).
    """
    try:
        check_outside(savepoint.uri, folders)
        manifest = newest_manifest(store)
        if manifest is None:
            raise RayflowError("there is no checkpoint to write a savepoint of")
        write_savepoint(store, manifest, open_store(savepoint.uri))
    except RayflowError as error:
        savepoint.error = error
    else:
        savepoint.epoch = manifest.epoch
        log.info("savepoint written", job=manifest.job, epoch=manifest.epoch, uri=savepoint.uri)
    savepoint.done = True
