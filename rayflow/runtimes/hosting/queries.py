"""Answers queries of operators' tables: asks the workers of the current attempt, one query at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rayflow.core.errors import InvalidSetting, JobNotFound, KeyInSeveralPartitions, RayflowError, WorkerLost
from rayflow.core.ids import TaskId, WorkerId
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.messages import QueryRows, RowsFound
from rayflow.serde.codec import Codec
from rayflow.serde.keys import encode_all_canonical

MOST_KEYS = 1_000
KEY_BYTES = 256 << 10
"""Bytes of all encoded keys of one query, at most."""
ROW_BYTES = 8 << 20
"""Bytes of all encoded values that answer one query, at most."""
ATTEMPTS = 2
"""Attempts of the job that a query is asked of, at most: one that ends every attempt must not do so for ever."""


@dataclass(slots=True, eq=False)
class Query:
    """A question for the rows at `keys`, encoded. `values` (encoded, in the order of the keys) or `error` has the
    answer; `done` is set last. `table`: None for the only one. `attempts`: how many were asked. `given_up`: see
    `give_up`."""

    operator: str
    keys: Sequence[bytes]
    table: str | None = None
    values: list[bytes | None] | None = None
    error: RayflowError | None = None
    done: bool = False
    attempts: int = 0
    given_up: bool = False

    def answer(self, values: list[bytes | None] | None, error: RayflowError | None = None) -> None:
        """Set the answer, which ends the asker's wait."""
        self.values, self.error = values, error
        self.done = True

    def result(self) -> list[bytes | None]:
        """The values, once it is done. Raises the error."""
        if self.error is not None:
            raise self.error
        assert self.values is not None
        return self.values

    def give_up(self, asked: deque[Query]) -> None:
        """The asker no longer waits: remove the query from those that are asked. From any thread."""
        self.given_up = True
        with suppress(ValueError):  # in flight, or answered
            asked.remove(self)


class Queries:
    """The queries of one attempt. A worker has one of them to answer at a time, so many askers do not slow the job.

    A query whose attempt ends before its answer is asked again in the next one, but in no third.
    """

    def __init__(self, plan: JobPlan, send: Callable[[WorkerId, object], None], asked: deque[Query]) -> None:
        """`asked`: not answered yet; shared by the attempts of a job, and filled from any thread."""
        self._job = plan.name
        self._tables = tables_of(plan)
        self._send = send
        self._asked = asked
        self._number = 0
        self._query: Query | None = None
        self._values: list[bytes | None] = []
        self._size = 0
        self._waits: set[WorkerId] = set()

    def step(self, started: bool, placement: Mapping[TaskId, WorkerId]) -> bool:
        """Ask the workers the next query, if none is in flight and their tasks are started. True if anything was
        done."""
        if self._query is not None:
            if not self._query.given_up:
                return False
            self._query = None  # its answers are of an earlier number
        try:
            query = self._asked.popleft()  # taken out before it is looked at: another thread may remove it
        except IndexError:
            return False
        if query.given_up:
            return True
        try:
            stage, table = table_of(self._tables, self._job, query.operator, query.table)
        except RayflowError as error:
            query.answer(None, error)
            return True
        if not started:
            self._asked.appendleft(query)
            return False
        query.attempts += 1
        self._query = query
        self._number += 1
        self._values, self._size = [None] * len(query.keys), 0
        self._waits = {worker for task, worker in placement.items() if task.stage == stage}
        for worker in sorted(self._waits):
            self._send(worker, QueryRows(self._number, stage, query.operator, table, query.keys))
        return True

    def read(self, answer: RowsFound) -> None:
        """Take what a worker has found."""
        query = self._query
        if query is None or answer.number != self._number:
            return  # a late part of a query that has failed
        error = answer.error
        self._size += sum(map(len, answer.found.values()))
        if error is None and self._size > ROW_BYTES:
            error = too_much(query.operator)
        if error is None and any(self._values[at] is not None for at in answer.found):
            error = in_several(query.operator)
        if error is not None:
            self._end(None, error)
            return
        for at, value in answer.found.items():
            self._values[at] = value
        self._waits.discard(answer.worker)
        if not self._waits:
            self._end(self._values)

    def close(self) -> None:
        """The attempt is over: leave the query in flight to the next one, if it may be asked again."""
        query = self._query
        if query is None:
            return
        if query.attempts >= ATTEMPTS:
            self._end(None, _attempts_ended(self._job, query.operator))
        else:
            self._query = None
            self._asked.appendleft(query)

    def _end(self, values: list[bytes | None] | None, error: RayflowError | None = None) -> None:
        query, self._query, self._values = self._query, None, []
        assert query is not None
        query.answer(values, error)


Tables = Mapping[str, tuple[str, Sequence[str]]]
"""By operator: its stage, and the names of its tables with one value per key."""


def tables_of(plan: JobPlan) -> Tables:
    """What can be queried of a job."""
    return {
        each.id: (stage.id, [state.name for state in each.states if state.kind == "value"])
        for stage in plan.stages
        for each in stage.operators
    }


def table_of(tables: Tables, job: str, operator: str, table: str | None) -> tuple[str, str]:
    """The stage of an operator, and the name of its table. Raises InvalidSetting, which says which ones there are."""
    known = ", ".join(sorted(id for id, (_, names) in tables.items() if names)) or "none"
    if operator not in tables:
        raise InvalidSetting(
            f"the job has no operator {operator!r}", job=job, advice=f"Operators with a table to query: {known}"
        )
    stage, names = tables[operator]
    if not names:
        raise InvalidSetting(
            "the operator has no table that can be queried, one value per key",
            job=job,
            operator=operator,
            advice=f"Operators with such a table: {known}",
        )
    if table is None and len(names) > 1:
        raise InvalidSetting(
            "the operator has several tables", job=job, operator=operator, advice=f"Name one: {', '.join(names)}"
        )
    if table is not None and table not in names:
        raise InvalidSetting(
            f"the operator has no table {table!r} that can be queried",
            job=job,
            operator=operator,
            advice=f"Its tables: {', '.join(names)}",
        )
    return stage, names[0] if table is None else table


def encoded_keys(keys: Sequence[Any]) -> list[bytes]:
    """The keys of a query as they travel. Raises KeyNotUsable, InvalidSetting for too many or no list."""
    if isinstance(keys, str | bytes):
        raise InvalidSetting("keys= is one key", advice="Put it into a list")
    if len(keys) > MOST_KEYS:
        raise InvalidSetting(
            f"a query of {len(keys)} keys is too large", advice=f"Ask for at most {MOST_KEYS} keys at a time"
        )
    encoded = encode_all_canonical(keys)
    if sum(map(len, encoded)) > KEY_BYTES:
        raise InvalidSetting(
            f"the keys of a query take more than {KEY_BYTES >> 10} KiB", advice="Ask for fewer keys at a time"
        )
    return encoded


def decoded_values(values: Sequence[bytes | None]) -> list[Any]:
    """The answer as plain data."""
    codec = Codec()
    return [None if data is None else codec.decode(data) for data in values]


def too_much(operator: str) -> InvalidSetting:
    """The answer would be too large."""
    return InvalidSetting(
        f"the rows of a query take more than {ROW_BYTES >> 20} MiB",
        operator=operator,
        advice="Ask for fewer keys at a time",
    )


def in_several(operator: str) -> KeyInSeveralPartitions:
    """Rows of one key are in several partitions."""
    return KeyInSeveralPartitions("rows of one key are in several partitions", operator=operator)


def not_running(job: str, state: str, seconds: float) -> WorkerLost:
    """The job has not answered a query in time."""
    return WorkerLost(
        f"the job has not answered the query within {seconds:.0f} s: its state is {state}",
        job=job,
        advice="Ask again when it is running",
    )


def _attempts_ended(job: str, operator: str) -> WorkerLost:
    return WorkerLost(
        f"the job was restarted {ATTEMPTS} times before it had answered the query",
        job=job,
        operator=operator,
        advice="See rayflow logs for the cause. If it is the memory of the workers, ask for fewer keys at a time",
    )


def has_ended(job: str) -> JobNotFound:
    """The job ended before it answered a query."""
    return JobNotFound("the job has ended, so its tables cannot be queried", job=job)
