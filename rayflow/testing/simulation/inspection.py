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

TABLES = {
    "totals": "values",
    "table": "values",
    "windows": "windows",
    "updates": "windows",
    "hops": "windows",
    "process": "count",
}
Rows = list[tuple[bytes, bytes]]


class Inspection:
    """One checkpoint, read whole."""

    def __init__(self, store: CheckpointStore, manifest: Manifest, shape: Shape) -> None:
        self.shape = shape
        self._manifest = manifest
        self._progress: dict[TaskId, dict[str, Any]] = read_progress(store, manifest)
        chain = Chain(store, manifest)
        self._rows: Rows = []
        for task in manifest.tasks():
            for keys, values in chain.rows(task):
                self._rows += zip(keys, values, strict=True)

    def check(self, inputs: Sequence[Sequence[Record | None]]) -> None:
        """Compare every state with the inputs up to the positions (None: a gap). Raises AssertionError."""
        oracle = Oracle(self.shape)
        read: list[list[Record]] = [[] for _ in inputs]
        for (_, p), position in sorted(positions_of(self._progress).items()):
            read[p] = [record for record in inputs[p][:position] if record is not None]
        for branch in self.shape.branches:
            if branch not in TABLES:
                continue
            held = self.table(branch)
            if TABLES[branch] == "windows":
                self._check_windows(branch, held, oracle.windows(read, self._every(branch)))
            else:
                expect(f"state of {branch}", held, oracle.state(read, branch))
        expect("timers that were never set", sorted(self.timers("process", "timers") - oracle.timers(read)), [])
        strange = self.timers("states", "timers.processing") - oracle.alarms(read)
        expect("alarms that were never set", sorted(strange), [])
        self._check_lifetimes()

    def table(self, branch: str) -> dict[Any, Any]:
        """What the table of a branch holds, by key, or by window's end and key."""
        nested = TABLES[branch] == "windows"
        found: dict[Any, Any] = {}
        for data, held in self._of(table_prefix(branch, TABLES[branch])):
            key, after = decode_key(data, PREFIX)
            found[(key, decode_key(data, after)[0]) if nested else key] = held[0] if len(held) == 1 else tuple(held)
        return found

    def timers(self, operator: str, table: str) -> set[tuple[str, int]]:
        """The timers that wait: key and time."""
        prefix = table_prefix(operator, table)
        found = set()
        for data, _ in self._rows:
            if data.startswith(prefix):
                at, after = decode_key(data, PREFIX)
                found.add((decode_key(data, after)[0][0], at))
        return found

    def _check_windows(self, branch: str, held: dict[Any, Any], seen: dict[Any, Any]) -> None:
        closed = seen.keys() - held.keys()
        expect(f"open windows of {branch}", held, {at: row for at, row in seen.items() if at not in closed})
        grace = 0 if branch == "updates" else self.shape.grace
        latest = max(self._watermarks(f"{branch}/windows"))
        earliest = min(self._watermarks(f"{branch}/windows"))
        expect(f"windows of {branch} left open", [at for at in held if at[0] + grace <= earliest], [])
        early = [at for at in closed if at[0] + grace > latest]
        expect(f"windows of {branch} closed ahead of event time", early, [])

    def _check_lifetimes(self) -> None:
        """Whatever row has a TTL has the timer that will remove it."""
        sweeps = self.timers("states", "timers.ttl"), self.timers("states", "timers.ttl-processing")
        for name in ("count", "ids", "fifths"):
            for data, row in self._of(table_prefix("states", name)):
                if len(row) == 1:  # an item of a list, which goes with its head
                    continue
                key, after = decode_key(data, PREFIX)
                owner = (key, decode_key(data, after)[0]) if name == "fifths" else key
                by_wall, timer = row[2] > 0, row[3]  # content, written, written by the wall clock, timer
                assert (owner, timer) in sweeps[by_wall], f"the row of {owner} in {name} would never be removed"

    def _every(self, branch: str) -> int | None:
        return self.shape.window // 4 if branch == "hops" else None

    def _watermarks(self, state: str) -> list[int]:
        stage = self._manifest.states[state].stage
        return [part["watermark"] for task, part in self._progress.items() if task.stage == stage]

    def _of(self, prefix: bytes) -> list[tuple[bytes, list[Any]]]:
        codec = Codec()
        return [(data, codec.decode(value)) for data, value in self._rows if data.startswith(prefix)]


def check_checkpoint(
    store: CheckpointStore, manifest: Manifest, shape: Shape, inputs: Sequence[Sequence[Record | None]]
) -> Inspection:
    """Compare every state of a checkpoint with the inputs up to its positions. Raises AssertionError."""
    inspection = Inspection(store, manifest, shape)
    inspection.check(inputs)
    return inspection
