"""Checks whether the state in a checkpoint is the fold of the inputs up to its positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rayflow.checkpoint.chain import Chain
from rayflow.checkpoint.manifest import Manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.ids import TaskId
from rayflow.runtimes.hosting.segments import positions_of, read_progress
from rayflow.serde.codec import Codec
from rayflow.serde.keys import decode_key
from rayflow.state.row_keys import PREFIX, table_prefix
from rayflow.testing.simulation.expecting import expect
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.jobs import InputRecord, Shape
from rayflow.testing.simulation.lateness import Lateness
from rayflow.testing.simulation.oracle import Oracle
from rayflow.testing.simulation.window_oracle import open_windows

TABLES = {
    "totals": "values",
    "table": "values",
    "windows": "windows",
    "updates": "windows",
    "hops": "windows",
    "process": "count",
}
StoredRows = list[tuple[bytes, bytes]]


class Inspection:
    """One checkpoint, completely read."""

    def __init__(self, store: CheckpointStore, manifest: Manifest, shape: Shape) -> None:
        self.shape = shape
        self._manifest = manifest
        self._progress: dict[TaskId, dict[str, Any]] = read_progress(store, manifest)
        chain = Chain(store, manifest)
        self._rows: StoredRows = []
        for task in manifest.tasks():
            for keys, values in chain.rows(task):
                self._rows += zip(keys, values, strict=True)

    def check(self, feeder: Feeder, lateness: Lateness) -> None:
        """Compare every state with the inputs up to the positions. Raises AssertionError."""
        oracle = Oracle(self.shape)
        positions = positions_of(self._progress)
        for branch in self.shape.branches:
            if branch in TABLES:
                expected = oracle.state(feeder.read(positions, branch), branch)
                if TABLES[branch] == "windows":
                    taken = self._taken(branch, feeder, lateness)
                    every, grace = self.shape.every_of(branch), self.shape.grace_of(branch)
                    expected = open_windows(taken, self.shape.window, every, grace, feeder.met)
                expect(f"state of {branch}", self.table(branch), expected)
        read = feeder.read(positions)
        waiting = self.timers("process", "timers")
        expect("timers that were never set", sorted(waiting - oracle.timers(read)), [])
        if "process" in self.shape.branches:
            due = (
                (key, record.ts + self.shape.timer, mark)
                for key, record, mark in self._taken("process", feeder, lateness)
            )
            early = {(key, at) for key, at, watermark in due if at > watermark} - waiting
            expect("timers that fired ahead of event time", sorted(early), [])
        strange = self.timers("states", "timers.processing") - oracle.alarms(read)
        expect("alarms that were never set", sorted(strange), [])
        self._check_lifetimes()

    def table(self, branch: str) -> dict[Any, Any]:
        """The contents of a branch's table, by key, or by window's end and key."""
        nested = TABLES[branch] == "windows"
        found: dict[Any, Any] = {}
        for data, held in self._of(table_prefix(branch, TABLES[branch])):
            key, after = decode_key(data, PREFIX)
            found[(key, decode_key(data, after)[0]) if nested else key] = held[0] if len(held) == 1 else tuple(held)
        return found

    def timers(self, operator: str, table: str) -> set[tuple[str, int]]:
        """The waiting timers: key and time."""
        prefix = table_prefix(operator, table)
        found = set()
        for data, _ in self._rows:
            if data.startswith(prefix):
                at, after = decode_key(data, PREFIX)
                found.add((decode_key(data, after)[0][0], at))
        return found

    def _taken(self, operator: str, feeder: Feeder, lateness: Lateness) -> Iterator[tuple[str, InputRecord, int]]:
        """Every record that an operator has taken, with its key and the watermark of its task."""
        oracle, stages = Oracle(self.shape), self._manifest.stages
        positions = positions_of(self._progress)
        for place, entries in zip(feeder.places, feeder.entries, strict=True):
            for record in entries[: positions.get(place, 0)]:
                if record is not None and oracle.keeps(record):
                    task = lateness.task(operator, record, place, stages)
                    yield oracle.key(record), record, self._progress[task]["watermark"]

    def _check_lifetimes(self) -> None:
        """Check that each row with a TTL has the timer that will remove it."""
        sweeps = self.timers("states", "timers.ttl"), self.timers("states", "timers.ttl-processing")
        for name in ("count", "ids", "fifths"):
            for data, row in self._of(table_prefix("states", name)):
                if len(row) == 1:  # an item of a list, which is removed together with the head
                    continue
                key, after = decode_key(data, PREFIX)
                owner = (key, decode_key(data, after)[0]) if name == "fifths" else key
                by_wall, timer = row[2] > 0, row[3]  # content, written, written by the wall clock, timer
                assert (owner, timer) in sweeps[by_wall], f"the row of {owner} in {name} would never be removed"

    def _of(self, prefix: bytes) -> list[tuple[bytes, list[Any]]]:
        codec = Codec()
        return [(data, codec.decode(value)) for data, value in self._rows if data.startswith(prefix)]


def check_checkpoint(
    store: CheckpointStore, manifest: Manifest, shape: Shape, feeder: Feeder, lateness: Lateness
) -> Inspection:
    """Compare every state of a checkpoint with the inputs up to its positions. Raises AssertionError."""
    inspection = Inspection(store, manifest, shape)
    inspection.check(feeder, lateness)
    return inspection
