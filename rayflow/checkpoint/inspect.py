"""Lists, shows and verifies the contents of a checkpoint store, for `rayflow checkpoints`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from rayflow.checkpoint.chain import Chain
from rayflow.checkpoint.integrity import check_stored
from rayflow.checkpoint.layout import SAVEPOINT, manifest_name
from rayflow.checkpoint.manifest import (
    Manifest,
    is_published,
    manifest_epochs,
    read_current,
    read_manifest,
    read_savepoint,
)
from rayflow.checkpoint.segment import SegmentReader
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, FormatTooNew, ObjectMissing
from rayflow.core.ids import Epoch, TaskId

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """One checkpoint in a list.

    Attributes:
        name: of its manifest.
        epoch: from the name; for a savepoint from its contents, 0 if they are damaged.
        manifest: None if it is damaged or of a newer version; then `problem` has the reason.
    """

    name: str
    epoch: Epoch
    manifest: Manifest | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """One task in a checkpoint.

    Attributes:
        base_epoch, base_bytes: of its base; None and 0 if there is none.
        deltas, delta_bytes: what a restore reads after the base.
        staged: number of records of the checkpoint's epoch to be published, by sink operator.
        progress: positions, watermarks and the like.
    """

    task: TaskId
    base_epoch: Epoch | None
    base_bytes: int
    deltas: int
    delta_bytes: int
    staged: Mapping[str, int]
    progress: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointDetail:
    """One checkpoint with all details.

    Attributes:
        published: whether its own epoch is known to be published, because the run ended with it.
        objects: names and sizes in bytes of its objects.
    """

    manifest: Manifest
    published: bool
    objects: Mapping[str, int]
    tasks: tuple[TaskInfo, ...]

    @property
    def bytes(self) -> int:
        """Size of all objects of the checkpoint; other checkpoints may share some of them."""
        return sum(self.objects.values())


@dataclass(frozen=True, slots=True)
class Damage:
    """An object that is damaged or missing: its name, what is wrong, and the epochs of the checkpoints that need it."""

    name: str
    problem: str
    epochs: tuple[Epoch, ...]


def list_checkpoints(store: CheckpointStore) -> list[CheckpointInfo]:
    """All checkpoints of a store ascending by epoch, damaged ones too; of a savepoint's store, the savepoint.

    Checkpoints that retention deletes meanwhile are left out.
    """
    infos = []
    for epoch in manifest_epochs(store):
        manifest, problem = _result_or_problem(partial(read_manifest, store, epoch))
        infos.append(CheckpointInfo(manifest_name(epoch), epoch, manifest, problem))
    if any(info.problem is not None for info in infos):
        present = set(manifest_epochs(store))
        infos = [info for info in infos if info.problem is None or info.epoch in present]
    if store.list(SAVEPOINT):
        manifest, problem = _result_or_problem(partial(read_savepoint, store))
        infos.append(CheckpointInfo(SAVEPOINT, manifest.epoch if manifest else 0, manifest, problem))
    return infos


def show(store: CheckpointStore, epoch: Epoch | None = None) -> CheckpointDetail:
    """One checkpoint in full: that of `epoch`, or the newest. A checkpoint that retention deletes while it is read is
    as if it had never been there.

    Raises ObjectMissing if there is none, DamagedObject, FormatTooNew, and the errors of the store.
    """
    return read_current(store, partial(_show, store, epoch))


def _show(store: CheckpointStore, epoch: Epoch | None, epochs: Sequence[Epoch]) -> CheckpointDetail:
    manifest = _manifest(store, epoch, epochs)
    chain = Chain(store, manifest)
    staged = _staged_counts(store, manifest)
    tasks = tuple(_task_info(chain, task, staged.get(task, {})) for task in manifest.tasks())
    published = is_published(store, manifest)
    return CheckpointDetail(manifest, published, {name: store.size(name) for name in manifest.objects()}, tasks)


def verify(
    store: CheckpointStore,
    epoch: Epoch | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Damage]:
    """Read all objects of the checkpoint of `epoch` (None: of all checkpoints), and check every byte.

    `progress(done, total, name)` is called before each object. An object that several checkpoints share is read once.
    Checkpoints that retention deletes during the call are omitted. Raises ObjectMissing if there is no checkpoint of
    `epoch`, and the errors of the store.
    """
    infos = [info for info in list_checkpoints(store) if epoch is None or info.epoch == epoch]
    if epoch is not None and not infos:
        raise ObjectMissing(f"{store.uri} has no checkpoint of epoch {epoch}")
    findings = [Damage(info.name, info.problem, (info.epoch,)) for info in infos if info.problem is not None]
    users: dict[str, list[Epoch]] = {}
    for info in infos:
        for name in info.manifest.objects() if info.manifest else ():
            users.setdefault(name, []).append(info.epoch)
    for done, name in enumerate(users):
        if progress is not None:
            progress(done, len(users), name)
        _, problem = _result_or_problem(partial(check_stored, store, name))
        if problem is not None:
            findings.append(Damage(name, problem, tuple(users[name])))
    return _still_there(store, findings) if findings else []


def _still_there(store: CheckpointStore, findings: list[Damage]) -> list[Damage]:
    present = {info.epoch for info in list_checkpoints(store)}
    return [finding for finding in findings if present.intersection(finding.epochs)]


def _manifest(store: CheckpointStore, epoch: Epoch | None, epochs: Sequence[Epoch]) -> Manifest:
    if epochs and (epoch is None or epoch in epochs):
        return read_manifest(store, epochs[-1] if epoch is None else epoch)
    if store.list(SAVEPOINT):
        manifest = read_savepoint(store)
        if epoch in (None, manifest.epoch):
            return manifest
    wanted = "no checkpoint" if epoch is None else f"no checkpoint of epoch {epoch}"
    raise ObjectMissing(f"{store.uri} has {wanted}")


def _staged_counts(store: CheckpointStore, manifest: Manifest) -> dict[TaskId, dict[str, int]]:
    """Number of records staged for the checkpoint's epoch, by task and sink operator."""
    outputs = [SegmentReader(store, name) for name in manifest.outputs]
    blobs = {task: output.blobs(task) for output in outputs for task in output.tasks}
    return {task: {sink: blob.count for sink, blob in held.staged.items()} for task, held in blobs.items() if held}


def _task_info(chain: Chain, task: TaskId, staged: Mapping[str, int]) -> TaskInfo:
    pieces = chain.pieces(task)
    segment = chain.segment(chain.manifest.epoch, task)
    return TaskInfo(
        task=task,
        base_epoch=pieces.base.epoch if pieces.base else None,
        base_bytes=pieces.base.bytes if pieces.base else 0,
        deltas=len(pieces.epochs),
        delta_bytes=chain.delta_bytes(task, pieces.epochs),
        staged=staged,
        progress=segment.progress(task) if segment else {},
    )


def _result_or_problem(read: Callable[[], T]) -> tuple[T | None, str | None]:
    try:
        return read(), None
    except (DamagedObject, ObjectMissing, FormatTooNew) as error:
        return None, error.what
