"""Stores the data that a restarted coordinator needs, beside the checkpoints."""

from __future__ import annotations

import msgspec

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, ObjectMissing
from rayflow.engine.barrier_schedule import JobEnding
from rayflow.runtimes.hosting.status import JobState

FORMAT = 4
"""Format number. Format 1 had one savepoint, and did not say which savepoints were written. Format 2 did not say that
the last attempt had ended. Format 3 did not have the ends of a bounded run."""
NAME = "deployment.json"


class Deployment(msgspec.Struct):
    """The requests and the end of a submitted job.

    Attributes:
        submission: which submission it belongs to; another one starts its own record. workers: slots that the job last
            ran with, or starts with.
        state: "starting" until the state to start from is in its checkpoints, then "running", or how it ended. cause:
            of a failure, as shown to people.
        ending: how it was asked to end, if it was. savepoints: URIs of those to write then. written: those that were.
        finished: how the last attempt has ended; None before. What is left to do then is to write `savepoints`.
        ends: of a bounded run, as source, partition and position; none before they are known.
        incarnation: the coordinator process that wrote this. Another one's name here tells a process that Ray has
            given up (it may outlive its node's raylet) that the job is not its own any more.
    """

    submission: str
    workers: int
    state: JobState = "running"
    cause: str = ""
    ending: JobEnding | None = None
    savepoints: list[str] = []
    written: list[str] = []
    incarnation: str = ""
    finished: JobEnding | None = None
    ends: list[tuple[str, int, int]] = []


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
