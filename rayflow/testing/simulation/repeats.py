"""At-least-once delivery: which records may be repeated, and which must be there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from rayflow.testing.simulation.expecting import expect
from rayflow.testing.simulation.feeder import Feeder
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.kafka import Entry
from rayflow.testing.simulation.oracle import Oracle

Positions = Mapping[tuple[str, int], int]


class Repeats:
    """Checks the output of an at-least-once job: nothing is lost, and an attempt repeats only records after the
    checkpoint from which it started.

    Attributes:
        begun: the starting positions of each incarnation in its sources.
    """

    def __init__(self, shape: Shape, feeder: Feeder) -> None:
        self.begun: dict[int, Positions] = {}
        self._shape = shape
        self._feeder = feeder

    def check(self, branch: str, written: list[tuple[int, Entry]]) -> None:
        """Compare the output of a branch. Raises AssertionError."""
        values = [(entry.owner.incarnation, (entry.key or b"").decode(), json.loads(entry.value or b"null"))
                  for _, entry in written]  # fmt: skip
        if branch in ("pass", "split"):
            self._check_records(branch, values)
        elif branch == "windows":
            self._check_windows(values)
        else:
            self._check_counts(branch, values)

    def _check_records(self, branch: str, values: list[tuple[int, str, Any]]) -> None:
        feeder = self._feeder
        places = {record.id: (place, at) for place, entries in zip(feeder.places, feeder.entries, strict=True)
                  for at, record in enumerate(entries) if record is not None}  # fmt: skip
        seen: set[tuple[int, int]] = set()
        for incarnation, _, value in values:
            place, at = places[value["id"]]
            if at < self.begun[incarnation].get(place, 0):
                raise AssertionError(f"{branch}: record {value['id']} was committed, and came again")
            if (incarnation, value["id"]) in seen:
                raise AssertionError(f"{branch}: one attempt wrote record {value['id']} twice")
            seen.add((incarnation, value["id"]))
        kept = {
            record.id for records in feeder.reaching(branch) for record in records if Oracle(self._shape).keeps(record)
        }
        expect(f"{branch}: records", {id for _, id in seen}, kept)

    def _check_windows(self, values: list[tuple[int, str, Any]]) -> None:
        got: dict[tuple[int, str], set[tuple[int, int]]] = defaultdict(set)
        for _, key, value in values:
            got[value["window_end"], key].add((value["count"], value["total"]))
        full = Oracle(self._shape).windows(self._feeder.inputs)
        expect("windows", dict(got), {at: {row} for at, row in full.items()})

    def _check_counts(self, branch: str, values: list[tuple[int, str, Any]]) -> None:
        """Check that the last row of each key is there; with a table that emits per record, all rows before it, too."""
        got: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for _, key, value in values:
            got[key][value["count"]].add(value["total"])
        full = Oracle(self._shape).state(self._feeder.inputs, branch)
        expect(f"{branch}: keys", got.keys() - full.keys(), set())
        for key, (count, total) in full.items():
            expect(f"{branch}: last row of {key}", got[key].get(count), {total})
            expect(f"{branch}: rows of {key} beyond the last", [n for n in got[key] if n > count], [])
            if branch == "totals":
                expect(f"totals: counts of {key}", sorted(got[key]), list(range(1, count + 1)))
