"""Computes what windows must have counted, and which records must have been late for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from rayflow.testing.simulation.expecting import expect
from rayflow.testing.simulation.jobs import InputRecord, Shape
from rayflow.testing.simulation.lateness import Limited

At = tuple[int, str]
"""A window's end and key."""
WindowRow = tuple[int, int]
"""Count and total."""


class WindowOracle:
    """Checks one branch with windows.

    The watermark that decided on a record is within the record's limits: a window that is over by the lower one was
    closed for the record, one that is not over by the upper one was open. A record is late if its last window was
    closed. Then it is reported once, and counts in no window. Any other record counts in its last window.
    """

    def __init__(self, shape: Shape, branch: str) -> None:
        self._branch = branch
        self._shape = shape
        self._grace = shape.grace_of(branch)

    def check(self, given: Sequence[tuple[str, Limited]], got: dict[At, WindowRow], late: list[Any]) -> None:
        """Compare the last result of each window, and the late records' values. Raises AssertionError.

        `given`: each record with its key.
        """
        apart = self._check_late(given, late)
        sure: dict[At, list[int]] = defaultdict(list)
        perhaps: dict[At, list[int]] = defaultdict(list)
        for key, limited in given:
            record = limited.record
            if record.id in apart:
                continue
            ends = windows_of(record, self._shape.window, self._shape.every_of(self._branch))
            for end in ends:
                if end == ends[-1] or end + self._grace > limited.most:
                    sure[end, key].append(record.n)
                elif end + self._grace > limited.least:
                    perhaps[end, key].append(record.n)
        for at in sorted({*sure, *perhaps, *got}):
            self._check_row(at, got.get(at, (0, 0)), sure[at], sorted(perhaps[at]))

    def _check_late(self, given: Sequence[tuple[str, Limited]], late: list[Any]) -> set[int]:
        """Check that each late record is reported once, unchanged. Returns their ids."""
        reported = Counter(value["id"] for value in late)
        expect(f"{self._branch}: late more than once", sorted(id for id in reported if reported[id] > 1), [])
        came = {limited.record.id: limited.record for _, limited in given}
        strange = [value for value in late if came.get(value["id"]) != InputRecord(**value)]
        expect(f"{self._branch}: late records that never came", strange, [])
        early: list[int] = []
        missing: list[int] = []
        for _, limited in given:
            record = limited.record
            over = windows_of(record, self._shape.window, self._shape.every_of(self._branch))[-1] + self._grace
            if record.id in reported and over > limited.most:
                early.append(record.id)
            if record.id not in reported and over <= limited.least:
                missing.append(record.id)
        expect(f"{self._branch}: late records that were in time", early, [])
        expect(f"{self._branch}: late records that were counted", missing, [])
        return set(reported)

    def _check_row(self, at: At, row: WindowRow, sure: list[int], perhaps: list[int]) -> None:
        """`perhaps`: the amounts of records that may count or not, sorted."""
        count, total = row
        more = count - len(sure)
        what = f"{self._branch}: window of {at[1]} that ends at {at[0]}: got {count} records of {total} in all"
        assert 0 <= more <= len(perhaps), f"{what}, expected {len(sure)}, and at most {len(perhaps)} more"
        least, most = sum(sure) + sum(perhaps[:more]), sum(sure) + sum(perhaps[len(perhaps) - more :])
        assert least <= total <= most, f"{what}, expected {least} to {most} in all"


def windows_of(record: InputRecord, size: int, every: int) -> list[int]:
    """The ends of the windows of a record, in order (ms)."""
    last = record.ts // every * every + size
    return list(range(last, record.ts, -every))[::-1]


def open_windows(
    records: Iterable[tuple[str, InputRecord, int]], size: int, every: int, grace: int, met: dict[int, int]
) -> dict[At, WindowRow]:
    """The contents of the windows that a watermark leaves open. For each record: its key, and its task's watermark
    (ms).

    `met`: by record, the watermark of its own partition when it was read; the record is late behind it.
    """
    rows: dict[At, WindowRow] = {}
    for key, record, watermark in records:
        for end in windows_of(record, size, every):
            if end + grace > max(watermark, met[record.id]):
                count, total = rows.get((end, key), (0, 0))
                rows[end, key] = (count + 1, total + record.n)
    return rows
