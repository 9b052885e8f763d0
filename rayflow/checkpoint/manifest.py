"""Manifests: the commit point of an epoch, and the list of everything that a restore needs.

A manifest is readable JSON. Its checksum is the SHA-256 of the same JSON without the checksum, with sorted keys and
without spaces. A manifest is refused if it differs in any byte from what this module writes for its contents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import msgspec

from rayflow.checkpoint.bases import BaseRef
from rayflow.checkpoint.layout import MANIFESTS, SAVEPOINT, ManifestObject, manifest_name, parse_name, published_name
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, FormatTooNew, ObjectExists, ObjectMissing
from rayflow.core.ids import Attempt, Epoch, TaskId, WorkerId

FORMAT = 1
READS = 10
"""How often checkpoints are read that are deleted again and again meanwhile."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StateEntry:
    """The declaration of a state, and the stage whose tasks hold it. `ttl` in ms, or None. `shape`: see the plan's
    StateSpec."""

    kind: str
    ttl: int | None
    stage: str = ""
    shape: str = ""


@dataclass(frozen=True, slots=True)
class SinkEntry:
    """A sink operator: the number of its tasks."""

    tasks: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One complete checkpoint.

    Epochs of one lineage rise, but some numbers may be missing: the first after a restore can be any later number.
    `segments` has exactly the existing epochs, from the oldest that a restore (or publishing) still needs to `epoch`.

    Attributes:
        job: its name.
        lineage: hex of a UUID; changes when the job starts from a savepoint or an older checkpoint.
        epoch, attempt: the epoch that this completes, and the attempt that completed it.
        created: ms since the Unix epoch.
        plan: fingerprint of the job's plan.
        states: every state of the job, by "operator/name".
        stages: number of partitions (and so of tasks) by stage.
        source_partitions: number of partitions by source at that time.
        workers: the slots whose transactional ids the attempt may have used.
        delivery: "exactly_once" or "at_least_once".
        segments: names of the segments, by epoch, ascending.
        bases: by task; a task without one is restored from its deltas alone.
        published: every sink had published all epochs up to this one when the manifest was written.
        bytes: size of this epoch's segments.
        outputs: names of the objects with this epoch's staged output; needed until it is published.
        sinks: every sink that keeps markers, by operator.
        systems: the identity of each source's topic and its system (`Connector.identity`), by source.
        savepoint: whether it is kept until it is deleted by name.
        restored_from: the origin of the lineage: a savepoint's URI, an older checkpoint, or None.
    """

    job: str
    lineage: str
    epoch: Epoch
    attempt: Attempt
    created: int
    plan: str
    states: Mapping[str, StateEntry]
    stages: Mapping[str, int]
    source_partitions: Mapping[str, int]
    workers: tuple[WorkerId, ...]
    delivery: str
    segments: Mapping[Epoch, tuple[str, ...]]
    bases: Mapping[TaskId, BaseRef]
    published: Epoch
    bytes: int
    outputs: tuple[str, ...] = ()
    sinks: Mapping[str, SinkEntry] = field(default_factory=dict)
    systems: Mapping[str, str] = field(default_factory=dict)
    savepoint: bool = False
    restored_from: str | None = None

    def tasks(self) -> list[TaskId]:
        """All tasks, stage by stage."""
        return [TaskId(stage, partition) for stage, count in self.stages.items() for partition in range(count)]

    def objects(self) -> list[str]:
        """Names of all objects of the checkpoint, except the manifest."""
        parts = chain.from_iterable(base.parts for base in self.bases.values())
        return [*parts, *chain.from_iterable(self.segments.values()), *self.outputs]


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as it is stored."""
    content = _content(manifest)
    return _text(content, _checksum(content))


@lru_cache(maxsize=16)  # every epoch reads again all those that are kept
def decode_manifest(name: str, data: bytes) -> Manifest:
    """The inverse of `encode_manifest`. Raises DamagedObject with `name`, FormatTooNew."""
    try:
        document = json.loads(data)
        content, checksum = document["checkpoint"], document["sha256"]
        intact = _checksum(content) == checksum
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedObject(f"{name} is truncated, or is not a manifest") from error
    if not intact:
        raise DamagedObject(f"{name} fails its checksum")
    version = content.get("format") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise FormatTooNew(f"{name} has format {version}; this rayflow reads up to {FORMAT}")
    try:
        if _text(content, checksum) != data:
            raise DamagedObject(f"{name} differs from what was written")
        wire = msgspec.convert(content, _Wire)
        bases = {TaskId.parse(task): BaseRef(base.epoch, base.parts, base.bytes) for task, base in wire.bases.items()}
        segments = {int(epoch): names for epoch, names in wire.segments.items()}
    except ValueError as error:
        raise DamagedObject(f"{name} is not a manifest") from error
    fields = {field: getattr(wire, field) for field in wire.__struct_fields__ if field != "format"}
    return Manifest(**{**fields, "bases": bases, "segments": segments})


def manifest_epochs(store: CheckpointStore) -> list[Epoch]:
    """The epochs that have a manifest, ascending."""
    parsed = map(parse_name, store.list(MANIFESTS))
    return sorted(kind.epoch for kind in parsed if isinstance(kind, ManifestObject))


def read_manifest(store: CheckpointStore, epoch: Epoch) -> Manifest:
    """The manifest of `epoch`. Raises ObjectMissing, DamagedObject, FormatTooNew."""
    name = manifest_name(epoch)
    return decode_manifest(name, store.get(name))


def read_current(store: CheckpointStore, read: Callable[[Sequence[Epoch]], T]) -> T:
    """What `read` gives for the epochs that have a manifest, ascending.

    A running job may commit and delete checkpoints meanwhile. When `read` misses an object, it is called again with the
    current epochs if an older checkpoint has been deleted since, at most READS times. Raises what it raises.
    """
    epochs = manifest_epochs(store)
    for _ in range(READS - 1):
        try:
            return read(epochs)
        except ObjectMissing:
            before, epochs = epochs, manifest_epochs(store)
            if set(before) <= set(epochs) or max(epochs, default=0) < max(before):
                raise
    return read(epochs)


def newest_manifest(store: CheckpointStore) -> Manifest | None:
    """The newest checkpoint's manifest; None when there is no checkpoint.

    Raises DamagedObject, FormatTooNew; ObjectMissing when the newest one disappears while it is read.
    """
    return read_current(store, lambda epochs: read_manifest(store, epochs[-1]) if epochs else None)


def newest_committer(store: CheckpointStore) -> Attempt:
    """The attempt that committed the newest checkpoint; 0 when there is no checkpoint. Raises as `newest_manifest`."""
    manifest = newest_manifest(store)
    return 0 if manifest is None else manifest.attempt


def read_savepoint(store: CheckpointStore) -> Manifest:
    """The manifest of the savepoint in `store`. Raises ObjectMissing, DamagedObject, FormatTooNew."""
    return decode_manifest(SAVEPOINT, store.get(SAVEPOINT))


def write_manifest(store: CheckpointStore, manifest: Manifest) -> None:
    """Commit the checkpoint. Raises ObjectExists if another attempt has committed its epoch."""
    store.create(manifest_name(manifest.epoch), encode_manifest(manifest))


def record_published(store: CheckpointStore, lineage: str, epoch: Epoch) -> None:
    """Record that everything up to `epoch` of a lineage is published. Recording it twice has no further effect.

    A run leaves this record at its end, because a manifest can only say that the epochs before its own are published.
    It is an object whose name contains everything. It stays true forever, so it does not matter who writes it, and
    when.
    """
    with suppress(ObjectExists):
        store.create(published_name(lineage, epoch), b"")


def is_published(store: CheckpointStore, manifest: Manifest) -> bool:
    """Whether the manifest's own epoch is known to be published."""
    name = published_name(manifest.lineage, manifest.epoch)
    return manifest.published >= manifest.epoch or name in store.list(name)


class _Base(msgspec.Struct, forbid_unknown_fields=True):
    epoch: int
    parts: tuple[str, ...]
    bytes: int


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    job: str
    lineage: str
    epoch: int
    attempt: int
    created: int
    plan: str
    states: dict[str, StateEntry]
    stages: dict[str, int]
    source_partitions: dict[str, int]
    workers: tuple[int, ...]
    delivery: str
    segments: dict[str, tuple[str, ...]]
    bases: dict[str, _Base]
    published: int
    bytes: int
    outputs: tuple[str, ...]
    sinks: dict[str, SinkEntry]
    systems: dict[str, str]
    savepoint: bool
    restored_from: str | None


def _content(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "job": manifest.job,
        "lineage": manifest.lineage,
        "epoch": manifest.epoch,
        "attempt": manifest.attempt,
        "created": manifest.created,
        "plan": manifest.plan,
        "states": {name: asdict(entry) for name, entry in manifest.states.items()},
        "stages": dict(manifest.stages),
        "source_partitions": dict(manifest.source_partitions),
        "workers": list(manifest.workers),
        "delivery": manifest.delivery,
        "segments": {str(epoch): list(manifest.segments[epoch]) for epoch in sorted(manifest.segments)},
        "bases": {
            str(task): {"epoch": base.epoch, "parts": list(base.parts), "bytes": base.bytes}
            for task, base in sorted(manifest.bases.items())
        },
        "published": manifest.published,
        "bytes": manifest.bytes,
        "outputs": list(manifest.outputs),
        "sinks": {operator: asdict(entry) for operator, entry in manifest.sinks.items()},
        "systems": dict(manifest.systems),
        "savepoint": manifest.savepoint,
        "restored_from": manifest.restored_from,
    }


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _text(content: Any, checksum: str) -> bytes:
    # json.dumps(indent=1) would give the same bytes, but take five times as long.
    return msgspec.json.format(json.dumps({"sha256": checksum, "checkpoint": content}).encode(), indent=1) + b"\n"
