"""A job's history in a checkpoint store, beside a plain model of what every checkpoint holds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rayflow.checkpoint.bases import BaseRef, encode_base_part, split_rows
from rayflow.checkpoint.layout import base_part_name, manifest_name, output_name, segment_name
from rayflow.checkpoint.manifest import Manifest, SinkEntry, StateEntry, encode_manifest
from rayflow.checkpoint.sealed import TaskSealed
from rayflow.checkpoint.segment import encode_segment
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Epoch, TaskId
from rayflow.state.base import Delta, Rows, Stamp
from rayflow.state.memory_store import MemoryStore

TASKS = [TaskId("orders", 0), TaskId("orders", 1), TaskId("by user", 0)]


class CheckedStore(MemoryStore):
    """A state store that insists on the order that the contract asks of its callers."""

    def __init__(self, rows: dict[bytes, bytes] | None = None, stamp: Stamp | None = None) -> None:
        super().__init__()
        if rows is not None or stamp is not None:
            held = sorted((rows or {}).items())
            super().replace([([key for key, _ in held], [value for _, value in held])], stamp or Stamp("", 0))
        if stamp is None:
            self._stamp = None

    @property
    def held(self) -> dict[bytes, bytes]:
        return dict(self.scan(b"", None))

    def apply(self, delta: Delta, stamp: Stamp) -> None:
        assert delta.keys == sorted(set(delta.keys))
        super().apply(delta, stamp)

    def replace(self, rows: Iterable[Rows], stamp: Stamp) -> None:
        super().replace(self._in_order(rows), stamp)

    @staticmethod
    def _in_order(rows: Iterable[Rows]) -> Iterator[Rows]:
        last: bytes | None = None
        for keys, values in rows:
            assert keys == sorted(set(keys))
            assert last is None or keys[0] > last
            last = keys[-1]
            yield keys, values


@dataclass
class History:
    """Runs epochs against `store`. `expected` keeps, per epoch and task, the rows that a restore must give."""

    store: CheckpointStore
    random: random.Random = field(default_factory=lambda: random.Random(7))
    lineage: str = "ab" * 16
    epoch: Epoch = 0
    attempt: int = 1
    rows: dict[TaskId, dict[bytes, bytes]] = field(default_factory=lambda: {task: {} for task in TASKS})
    segments: dict[Epoch, tuple[str, ...]] = field(default_factory=dict)
    bases: dict[TaskId, BaseRef] = field(default_factory=dict)
    expected: dict[Epoch, dict[TaskId, dict[bytes, bytes]]] = field(default_factory=dict)
    manifests: dict[Epoch, Manifest] = field(default_factory=dict)
    sealed: dict[Epoch, list[TaskSealed]] = field(default_factory=dict)

    def run_epoch(self, *, changes: int = 6, keys: int = 12, savepoint: bool = False) -> Manifest:
        """Change rows, write the segments of two workers, commit."""
        self.epoch += 1
        sealed = [self._seal(task, changes, keys) for task in TASKS]
        cut = self.random.randint(0, len(sealed))
        names, outputs = [], []
        for worker, parts in enumerate((sealed[:cut], sealed[cut:])):
            names.append(segment_name(self.epoch, self.attempt, worker))
            outputs.append(output_name(self.epoch, self.attempt, worker))
            self.store.put(names[-1], encode_segment([replace(part, staged={}) for part in parts]))
            self.store.put(outputs[-1], encode_segment([replace(part, delta=Delta([], [])) for part in parts]))
        self.segments[self.epoch] = tuple(names)
        self.sealed[self.epoch] = sealed
        self._drop_segments()
        manifest = replace(example_manifest(), lineage=self.lineage, epoch=self.epoch, attempt=self.attempt)
        manifest = replace(manifest, segments=dict(self.segments), bases=dict(self.bases), savepoint=savepoint)
        manifest = replace(manifest, outputs=tuple(outputs))
        self.store.create(manifest_name(self.epoch), encode_manifest(manifest))
        self.manifests[self.epoch] = manifest
        self.expected[self.epoch] = {task: dict(rows) for task, rows in self.rows.items()}
        return manifest

    def write_base(self, task: TaskId, part_bytes: int = 200) -> None:
        """A base of `task` as of now, which the next manifests name."""
        names, size = [], 0
        for part, run in enumerate(split_rows(CheckedStore(self.rows[task]).rows(chunk=3), part_bytes)):
            names.append(base_part_name(task, self.epoch, self.attempt, part))
            self.store.put(names[-1], encode_base_part(run))
            size += self.store.size(names[-1])
        self.bases[task] = BaseRef(self.epoch, tuple(names), size)

    def _drop_segments(self) -> None:
        """Keep those from the first delta on that is in no base, and the newest."""
        changed = [
            epoch
            for epoch in self.segments
            for part in self.sealed[epoch]
            if len(part.delta) and epoch > (self.bases[part.task].epoch if part.task in self.bases else 0)
        ]
        oldest = min([self.epoch, *changed])
        self.segments = {epoch: names for epoch, names in self.segments.items() if epoch >= oldest}

    def _seal(self, task: TaskId, changes: int, keys: int) -> TaskSealed:
        draw = self.random
        chosen = sorted({b"%03d" % draw.randrange(keys) for _ in range(draw.randint(0, changes))})
        values = [None if draw.random() < 0.3 else draw.randbytes(draw.randint(0, 20)) for _ in chosen]
        delta = Delta(chosen, values)
        model = CheckedStore(self.rows[task])
        model.apply(delta, Stamp(self.lineage, self.epoch))
        self.rows[task] = model.held
        staged = {"sink": [EncodedBatch("out", [b"k"], [draw.randbytes(5)], [self.epoch])]}
        return TaskSealed(task, delta, staged, {"epoch": self.epoch})


def example_manifest() -> Manifest:
    return Manifest(
        job="revenue",
        lineage="cd" * 16,
        epoch=3,
        attempt=2,
        created=1_700_000_000_000,
        plan="f00d",
        states={
            "aggregate-1/total": StateEntry("value", None, "by user"),
            "aggregate-1/seen": StateEntry("map", 60_000, "by user"),
        },
        stages={"orders": 2, "by user": 1},
        source_partitions={"orders": 2},
        workers=(0, 1),
        delivery="exactly_once",
        segments={2: (segment_name(2, 1, 0),), 3: (segment_name(3, 2, 0), segment_name(3, 2, 1))},
        bases={TaskId("orders", 0): BaseRef(1, ("bases/orders-0/000000000001-00000001/0000",), 99)},
        published=2,
        bytes=1234,
        outputs=(output_name(3, 2, 0),),
        sinks={"sink-1": SinkEntry(tasks=2)},
    )
