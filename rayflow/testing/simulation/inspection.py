"""Looks into a checkpoint: whether its state is the fold of the inputs up to its positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayflow.checkpoint.chain import Chain
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.ids import TaskId
from rayflow.runtimes.segments import positions_of, read_progress
from rayflow.serde.codec import Codec
from rayflow.serde.keys import decode_key
from rayflow.state.row_keys import PREFIX, table_prefix
from rayflow.testing.simulation.jobs import Record, Shape
from rayflow.testing.simulation.oracle import Oracle, expect

TABLES = {"totals": "values", "table": "values", "windows": "windows", "process": "count"}


def check_checkpoint(
    store: CheckpointStore, manifest: Manifest, shape: Shape, inputs: Sequence[Sequence[Record | None]]
) -> None:
    """Compare every state of a checkpoint with the inputs up to its positions (None: a gap). Raises AssertionError."""
    oracle = Oracle(shape)
    progress: dict[TaskId, dict[str, Any]] = read_progress(store, manifest)
    read: list[list[Record]] = [[] for _ in inputs]
    for (_, p), position in sorted(positions_of(progress).items()):
        read[p] = [record for record in inputs[p][:position] if record is not None]
    rows = _rows(store, manifest)
    for branch in shape.branches:
        if branch not in TABLES:
            continue
        held = _table(rows, table_prefix(branch, TABLES[branch]), nested=branch == "windows")
        if branch == "windows":
            marks = {
                task.partition: part["watermark"] for task, part in progress.items() if task.stage == _last(manifest)
            }
            seen = oracle.windows(read)
            closed = {at: row for at, row in seen.items() if at not in held}
            expect("open windows", held, {at: row for at, row in seen.items() if at not in closed})
            late = [at for at in closed if at[0] > max(marks.values())]
            expect("windows closed ahead of event time", late, [])
        else:
            expect(f"state of {branch}", held, oracle.state(read, branch))
        if branch == "process":
            timers = set(_timers(rows, table_prefix("process", "timers")))
            expect("timers that were never set", sorted(timers - oracle.timers(read)), [])


def _last(manifest: Manifest) -> str:
    return list(manifest.stages)[-1]


def _rows(store: CheckpointStore, manifest: Manifest) -> list[tuple[bytes, bytes]]:
    chain = Chain(store, manifest)
    return [
        row for task in manifest.tasks() for keys, values in chain.rows(task) for row in zip(keys, values, strict=True)
    ]


def _table(rows: list[tuple[bytes, bytes]], prefix: bytes, *, nested: bool) -> dict[Any, Any]:
    codec = Codec()
    found: dict[Any, Any] = {}
    for data, value in rows:
        if data.startswith(prefix):
            key, after = decode_key(data, PREFIX)
            held = codec.decode(value)
            found[(key, decode_key(data, after)[0]) if nested else key] = held[0] if len(held) == 1 else tuple(held)
    return found


def _timers(rows: list[tuple[bytes, bytes]], prefix: bytes) -> list[tuple[str, int]]:
    found = []
    for data, _ in rows:
        if data.startswith(prefix):
            at, after = decode_key(data, PREFIX)
            found.append((decode_key(data, after)[0][0], at))
    return found
