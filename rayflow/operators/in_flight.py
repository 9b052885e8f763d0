"""Stores records that wait for calls as state: each checkpoint contains them until their call has an outcome."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import repeat
from typing import Any

from rayflow.api.specs.base import StateSpec
from rayflow.core.batch import Batch, Change, Origin
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WATERMARK_MIN
from rayflow.operators.base import OperatorContext
from rayflow.operators.calling import Call, Outcome

CALLS = StateSpec("calls", "calls")
"""The records that wait for calls, by the numbers of the calls, in order of arrival."""

_ALL = 0
"""The only namespace of the table."""


class InFlight:
    """The records of one operator in one task for which calls are made: one call per record, with its value.

    Attributes:
        limit: the maximum number of calls in flight; the others wait.
    """

    def __init__(self, context: OperatorContext, fn: Callable[[Any], Any], limit: int) -> None:
        """Restore the records from the checkpoint; every call is to be made again."""
        self.limit = limit
        self._operator = context.operator
        self._fn = fn
        self._table = context.state.nested(context.operator, CALLS.name)
        self._rows: dict[int, list[Any]] = dict(self._table.scan(_ALL))
        self._next = max(self._rows, default=-1) + 1
        self._waiting = deque(self._rows)
        self._running: set[int] = set()
        self._times = [(row[4], number) for number, row in self._rows.items()]
        heapify(self._times)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, batch: Batch) -> None:
        """Request a call for each record."""
        rows = self._table.rows(_ALL)
        absent = repeat(None)
        columns = zip(  # noqa: B905 - columns of one length, or without end
            batch.keys,
            batch.values,
            batch.timestamps,
            batch.offsets,
            absent if batch.headers is None else batch.headers,
            absent if batch.lateness is None else batch.lateness,
            absent if batch.changes is None else map(int, batch.changes),
            absent if batch.old is None else batch.old,
        )
        added = range(self._next, self._next + len(batch))
        for number, record in zip(added, columns, strict=True):
            self._rows[number] = rows[number] = row = [*batch.origin, *record]
            heappush(self._times, (row[4], number))
        self._waiting.extend(added)
        self._next = added.stop

    def calls(self) -> list[Call]:
        """The next calls to make, oldest first."""
        started: list[Call] = []
        while self._waiting and len(self._running) < self.limit:
            number = self._waiting.popleft()
            self._running.add(number)
            started.append(Call(number, self._fn, self._rows[number][3]))
        return started

    def take(self, outcomes: Sequence[Outcome]) -> Iterator[tuple[Batch, list[Outcome]]]:
        """The records of these calls, which are no longer in flight, with their outcomes: one batch for each
        origin, in the order in which they are given.

        Raises InvariantBroken for a call that is not in flight.
        """
        by_origin: dict[Origin, tuple[list[list[Any]], list[Outcome]]] = {}
        for outcome in outcomes:
            if outcome.number not in self._running:
                raise InvariantBroken(f"call {outcome.number} has an outcome but was not made", operator=self._operator)
            self._running.discard(outcome.number)
            row = self._rows.pop(outcome.number)
            self._table.delete(_ALL, outcome.number)
            rows, own = by_origin.setdefault(Origin(row[0], row[1]), ([], []))
            rows.append(row)
            own.append(outcome)
        for origin, (rows, own) in by_origin.items():
            yield _batch(origin, rows), own

    def behind(self, watermark: int) -> int:
        """The watermark to pass on for `watermark`: one that no record in flight is behind."""
        times = self._times
        while times and times[0][1] not in self._rows:
            heappop(times)
        return min(watermark, times[0][0] - 1) if times else watermark


def _batch(origin: Origin, rows: list[list[Any]]) -> Batch:
    keys, values, timestamps, offsets, headers, lateness, changes, old = (
        list(column) for column in list(zip(*rows, strict=True))[2:]
    )
    return Batch.carried(
        origin,
        keys=keys,
        values=values,
        timestamps=timestamps,
        offsets=offsets,
        headers=None if all(own is None for own in headers) else [own or [] for own in headers],
        lateness=None
        if all(met is None for met in lateness)
        else [WATERMARK_MIN if met is None else met for met in lateness],
        changes=None if changes[0] is None else list(map(Change, changes)),
        old=None if changes[0] is None else old,
    )
