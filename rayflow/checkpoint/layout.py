"""The names of the objects in a checkpoint store. One store holds one job, or one savepoint."""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from rayflow.core.ids import Attempt, Epoch, TaskId, WorkerId

ATTEMPTS = "attempts/"
EPOCHS = "epochs/"
MANIFESTS = "manifests/"
BASES = "bases/"
PUBLISHED = "published/"
SAVEPOINT = "savepoint.json"
"""The manifest of a savepoint. Its store contains only this savepoint."""
SAVEPOINT_CLAIM = "claimed-by.json"
"""Names the history to which the savepoint of a store belongs, or will belong. Savepoints of earlier versions have
none."""


class AttemptObject(NamedTuple):
    """Claims an attempt's number."""

    attempt: Attempt


class SegmentObject(NamedTuple):
    """One worker's part of one epoch: its state, or its staged output."""

    epoch: Epoch
    attempt: Attempt
    worker: WorkerId


class ManifestObject(NamedTuple):
    """The commit point of one epoch."""

    epoch: Epoch


class PublishedObject(NamedTuple):
    """Records that all output up to an epoch is published."""

    lineage: str
    epoch: Epoch


class BasePartObject(NamedTuple):
    """A part of the full copy of one task's rows. `folder` is that of the task, as in the name."""

    folder: str
    epoch: Epoch
    attempt: Attempt
    part: int


ObjectKind: TypeAlias = AttemptObject | SegmentObject | ManifestObject | PublishedObject | BasePartObject


def attempt_name(attempt: Attempt) -> str:
    """The object that claims an attempt's number.

    >>> attempt_name(3)
    'attempts/00000003'
    """
    return f"{ATTEMPTS}{attempt:08d}"


def segment_name(epoch: Epoch, attempt: Attempt, worker: WorkerId) -> str:
    """The segment that one worker writes for one epoch.

    >>> segment_name(12, 3, 0)
    'epochs/000000000012/00000003-00000.segment'
    """
    return f"{EPOCHS}{epoch:012d}/{attempt:08d}-{worker:05d}.segment"


def output_name(epoch: Epoch, attempt: Attempt, worker: WorkerId) -> str:
    """The staged output of one worker for one epoch: a separate segment, because it is needed only until published.

    >>> output_name(12, 3, 0)
    'epochs/000000000012/00000003-00000.output'
    """
    return f"{EPOCHS}{epoch:012d}/{attempt:08d}-{worker:05d}.output"


def manifest_name(epoch: Epoch) -> str:
    """The manifest of an epoch.

    >>> manifest_name(12)
    'manifests/000000000012.json'
    """
    return f"{MANIFESTS}{epoch:012d}.json"


def published_name(lineage: str, epoch: Epoch) -> str:
    """The object that records that the last epoch of a run is published.

    >>> published_name("ab12", 12)
    'published/ab12/000000000012'
    """
    return f"{PUBLISHED}{lineage}/{epoch:012d}"


def base_part_name(task: TaskId, epoch: Epoch, attempt: Attempt, part: int) -> str:
    """One part of a task's base. Characters of the stage's id that are unsafe in a file name become ``=XX``.

    >>> base_part_name(TaskId("orders", 2), 12, 3, 0)
    'bases/orders-2/000000000012-00000003/0000'
    >>> base_part_name(TaskId("a/b", 0), 1, 1, 0)
    'bases/a=2Fb-0/000000000001-00000001/0000'
    """
    return f"{BASES}{task_folder(task)}/{epoch:012d}-{attempt:08d}/{part:04d}"


def task_folder(task: TaskId) -> str:
    """The folder of a task's bases inside of the bases' folder; unique for each task."""
    stage = _UNSAFE.sub(lambda match: b"=%02X" % match[0][0], task.stage.encode())
    return f"{stage.decode()}-{task.partition}"


def parse_name(name: str) -> ObjectKind | None:
    """The kind of an object, by its name; None if the name does not belong to this layout.

    >>> parse_name("manifests/000000000012.json")
    ManifestObject(epoch=12)
    >>> parse_name("notes.txt") is None
    True
    """
    if match := _SEGMENT.fullmatch(name):
        return SegmentObject(int(match[1]), int(match[2]), int(match[3]))
    if match := _BASE_PART.fullmatch(name):
        return BasePartObject(match[1], int(match[2]), int(match[3]), int(match[4]))
    if match := _MANIFEST.fullmatch(name):
        return ManifestObject(int(match[1]))
    if match := _PUBLISHED.fullmatch(name):
        return PublishedObject(match[1], int(match[2]))
    if match := _ATTEMPT.fullmatch(name):
        return AttemptObject(int(match[1]))
    return None


def is_object_name(name: str) -> bool:
    """Whether a store accepts `name`: folders and a last part joined by "/", none of them empty or hidden.

    A manifest from elsewhere must not be able to name files outside of the store.

    >>> is_object_name("a/b"), is_object_name("a/../b"), is_object_name("/a"), is_object_name("a/.b")
    (True, False, False, False)
    """
    return "\0" not in name and all(part and not part.startswith(".") for part in name.split("/"))


_UNSAFE = re.compile(rb"[^A-Za-z0-9_.-]|^\.")
_SEGMENT = re.compile(r"epochs/(\d{12,})/(\d{8,})-(\d{5,})\.(?:segment|output)")
_BASE_PART = re.compile(r"bases/([^/]+)/(\d{12,})-(\d{8,})/(\d{4,})")
_MANIFEST = re.compile(r"manifests/(\d{12,})\.json")
_ATTEMPT = re.compile(r"attempts/(\d{8,})")
_PUBLISHED = re.compile(r"published/([^/]+)/(\d{12,})")
