"""Stores the data that a restarted coordinator needs, beside the checkpoints."""

from __future__ import annotations

from typing import Literal

import msgspec

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, ObjectMissing
from rayflow.runtimes.hosting.status import JobState

FORMAT = 2
"""Format number. Format 1 had one savepoint, and did not say which savepoints were written."""
NAME = "deployment.json"

Ending = Literal["stop", "drain"]


class Deployment(msgspec.Struct):
    """The requests and the end of a submitted job.

    Attributes:
        submission: the submission to which it belongs; another submission starts over.
        workers: the requested number of slots.
        state: "running", or how the job ended.
        cause: of a failure, for display.
        ending: how the job must end, if that was requested.
        savepoints: URIs of the savepoints to write at the end.
        written: those that were written.
        incarnation: the coordinator process that wrote this. If Ray has given a process up, but it still runs (it may
            outlive its node's raylet), it sees from another name here that the job is no longer its own.
    """

    submission: str
    workers: int
    state: JobState = "running"
    cause: str = ""
    ending: Ending | None = None
    savepoints: list[str] = []
    written: list[str] = []
    incarnation: str = ""


def read_deployment(store: CheckpointStore) -> Deployment | None:
    """The last one written. Raises DamagedObject, CheckpointStoreFailed."""
    try:
        data = store.get(NAME)
    except ObjectMissing:
        return None
    try:
        stored = msgspec.json.decode(data, type=_Stored)
    except msgspec.MsgspecError as error:
        raise DamagedObject(f"{NAME} in {store.uri} cannot be read: {error}") from None
    fields = {name: getattr(stored, name) for name in Deployment.__struct_fields__}
    if stored.savepoint is not None:
        fields["savepoints"] = [stored.savepoint]
    return Deployment(**fields)


class _Stored(Deployment):
    """A deployment of any format."""

    savepoint: str | None = None


def write_deployment(store: CheckpointStore, deployment: Deployment) -> None:
    """Replace the last one. Raises CheckpointStoreFailed."""
    store.put(NAME, [msgspec.json.encode(deployment)])
