"""What a job must have written, and what its state must hold, from its input alone, in plain Python."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

from rayflow.testing.simulation.jobs import Record, Shape

Written = list[tuple[int, bytes | None, bytes | None]]
"""Partition, key and value of every record of a topic, in order within each partition."""


class Oracle:
    """Knows the input of a job: the records of each partition, in order."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def check(self, partitions: Sequence[Sequence[Record]], branch: str, written: Written) -> None:
        """Compare what a branch has written. Raises AssertionError."""
        given = [[record for record in records if self._keeps(record)] for records in partitions]
        every = list(chain.from_iterable(given))
        found: dict[str, list[Any]] = defaultdict(list)
        places: dict[str, set[int]] = defaultdict(set)
        for partition, key, value in written:
            name = (key or b"").decode()
            found[name].append(json.loads(value or b"null"))
            places[name].add(partition)
        for name, seen in places.items():
            expect(f"{branch}: partitions of {name}", len(seen), 1)
        getattr(self, f"_check_{branch}")(given, every, dict(found))

    def state(self, partitions: Sequence[Sequence[Record]], branch: str) -> dict[Any, Any]:
        """What the state of a branch holds once it has seen exactly these records: count and total per key."""
        rows: dict[Any, Any] = {}
        for record in chain.from_iterable(partitions):
            if self._keeps(record):
                count, total = rows.get(self._key(record), (0, 0))
                rows[self._key(record)] = (count + 1, total + record.n)
        return {key: count for key, (count, _) in rows.items()} if branch == "process" else rows

    def windows(self, partitions: Sequence[Sequence[Record]]) -> dict[tuple[int, str], tuple[int, int]]:
        """Count and total by window's end and key."""
        rows: dict[tuple[int, str], tuple[int, int]] = {}
        for record in chain.from_iterable(partitions):
            if self._keeps(record):
                end = record.ts - record.ts % self.shape.window + self.shape.window
                count, total = rows.get((end, self._key(record)), (0, 0))
                rows[end, self._key(record)] = (count + 1, total + record.n)
        return rows

    def timers(self, partitions: Sequence[Sequence[Record]]) -> set[tuple[str, int]]:
        """Every timer that is ever set: key and time."""
        every = chain.from_iterable(partitions)
        return {(self._key(record), record.ts + self.shape.timer) for record in every if self._keeps(record)}

    def _keeps(self, record: Record) -> bool:
        return not self.shape.filtered or record.n % 2 == 0

    def _key(self, record: Record) -> str:
        return (record.user, record.item, record.group)[self.shape.stages - 1]

    def _check_pass(self, given: Any, every: list[Record], found: dict[str, list[Any]]) -> None:
        ids: dict[str, list[int]] = defaultdict(list)
        for record in every:
            ids[record.user].append(record.id)
        expect("pass", {key: [value["id"] for value in values] for key, values in found.items()}, dict(ids))

    def _check_totals(self, given: Any, every: list[Record], found: dict[str, list[Any]]) -> None:
        amounts = self._amounts(every)
        expect("totals: keys", sorted(found), sorted(amounts))
        for key, values in found.items():
            expect(f"totals: counts of {key}", [v["count"] for v in values], list(range(1, len(amounts[key]) + 1)))
            steps = [after - before for before, after in pairwise([0, *(v["total"] for v in values)])]
            expect(f"totals: amounts of {key}", sorted(steps), sorted(amounts[key]))
            if len(given) == 1:
                expect(f"totals: order of {key}", steps, amounts[key])

    def _check_table(self, given: Any, every: list[Record], found: dict[str, list[Any]]) -> None:
        newest = {key: (values[-1]["count"], values[-1]["total"]) for key, values in found.items()}
        expect("table", newest, self.state(given, "table"))
        for key, values in found.items():
            counts = [value["count"] for value in values]
            expect(f"table: counts of {key} rise", counts, sorted(set(counts)))

    def _check_windows(self, given: Any, every: list[Record], found: dict[str, list[Any]]) -> None:
        got: dict[tuple[int, str], tuple[int, int]] = {}
        for key, values in found.items():
            ends = [value["window_end"] for value in values]
            expect(f"windows: ends of {key} rise", ends, sorted(set(ends)))
            got.update({(value["window_end"], key): (value["count"], value["total"]) for value in values})
        expect("windows", got, self.windows(given))

    def _check_process(self, given: Any, every: list[Record], found: dict[str, list[Any]]) -> None:
        ids = self._ids(every)
        for key, values in found.items():
            records = [value for value in values if "seq" in value]
            expect(f"process: numbers of {key}", [v["seq"] for v in records], list(range(1, len(ids[key]) + 1)))
            expect(f"process: records of {key}", Counter(v["id"] for v in records), Counter(ids[key]))
        fired = Counter((key, value["at"]) for key, values in found.items() for value in values if "at" in value)
        expect("process: timers", dict(fired), dict.fromkeys(self.timers(given), 1))

    def _amounts(self, every: list[Record]) -> dict[str, list[int]]:
        amounts: dict[str, list[int]] = defaultdict(list)
        for record in every:
            amounts[self._key(record)].append(record.n)
        return amounts

    def _ids(self, every: list[Record]) -> dict[str, list[int]]:
        ids: dict[str, list[int]] = defaultdict(list)
        for record in every:
            ids[self._key(record)].append(record.id)
        return ids


def expect(what: str, got: Any, expected: Any) -> None:
    """Raise AssertionError, with the first thing that differs, unless both are the same."""
    if got == expected:
        return
    if isinstance(got, dict) and isinstance(expected, dict):
        wrong = sorted((key for key in got.keys() | expected.keys() if got.get(key) != expected.get(key)), key=str)
        first = wrong[0]
        raise AssertionError(
            f"{what}: {len(wrong)} differ; {first}: got {got.get(first)}, expected {expected.get(first)}"
        )
    raise AssertionError(f"{what}: got {str(got)[:300]}, expected {str(expected)[:300]}")
