"""Answers queries of operators' tables: asks the workers of the current attempt, one query at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayflow.core.errors import InvalidSetting, JobNotFound, RayflowError, WorkerLost
from rayflow.core.ids import TaskId, WorkerId
from rayflow.plan.physical import JobPlan, OperatorPlan
from rayflow.runtimes.hosting.messages import QueryRows, RowsFound
from rayflow.serde.codec import Codec
from rayflow.serde.keys import encode_all_canonical

MOST_KEYS = 1_000
KEY_BYTES = 256 << 10
"""Bytes of all encoded keys of one query, at most."""
ROW_BYTES = 8 << 20
"""Bytes of all encoded values that answer one query, at most."""


@dataclass(slots=True)
class Query:
    """A question for the rows at `keys`, encoded. `values` (encoded, in the order of the keys) or `error` has the
    answer; `done` is set last. `table`: None for the only one. `given_up`: set by the asker, who no longer waits."""

    operator: str
    keys: Sequence[bytes]
    table: str | None = None
    values: list[bytes | None] | None = None
    error: RayflowError | None = None
    done: bool = False
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


class Queries:
    """The queries of one attempt. A worker has one of them to answer at a time, so many askers do not slow the job.

    A query whose attempt ends before its answer is asked again in the next one.
    """

    def __init__(self, plan: JobPlan, send: Callable[[WorkerId, object], None], asked: deque[Query]) -> None:
        """`asked`: not answered yet; shared by the attempts of a job, and filled from any thread."""
        self._plan = plan
        self._send = send
        self._asked = asked
        self._number = 0
        self._query: Query | None = None
        self._values: list[bytes | None] = []
        self._waits: set[WorkerId] = set()

    def step(self, started: bool, placement: Mapping[TaskId, WorkerId]) -> bool:
        """Ask the workers the next query, if none is in flight and their tasks are started. True if anything was
        done."""
        if not self._asked or self._query is not None:
            return False
        query = self._asked[0]
        if query.given_up:
            self._asked.popleft()
            return True
        try:
            stage, table = table_of(self._plan, query.operator, query.table)
        except RayflowError as error:
            self._asked.popleft()
            query.answer(None, error)
            return True
        if not started:
            return False
        self._query = self._asked.popleft()
        self._number += 1
        self._values = [None] * len(query.keys)
        self._waits = {worker for task, worker in placement.items() if task.stage == stage}
        for worker in sorted(self._waits):
            self._send(worker, QueryRows(self._number, stage, query.operator, table, query.keys))
        return True

    def read(self, answer: RowsFound) -> None:
        """Take what a worker has found."""
        query = self._query
        if query is None or answer.number != self._number:
            return  # a late part of a query that has failed
        if answer.error is not None:
            self._query = None
            query.answer(None, answer.error)
            return
        for at, value in answer.found.items():
            self._values[at] = value
        self._waits.discard(answer.worker)
        if not self._waits:
            self._query = None
            if sum(len(value) for value in self._values if value is not None) > ROW_BYTES:
                query.answer(None, too_much(query.operator))
            else:
                query.answer(self._values)

    def close(self) -> None:
        """The attempt is over: leave the query in flight to the next one."""
        if self._query is not None:
            self._asked.appendleft(self._query)
            self._query = None


def table_of(plan: JobPlan, operator: str, table: str | None) -> tuple[str, str]:
    """The stage of an operator, and the name of its table. Raises InvalidSetting, which says which ones there are."""
    tables = {each.id: _tables(each) for stage in plan.stages for each in stage.operators}
    known = ", ".join(sorted(id for id, names in tables.items() if names)) or "none"
    if operator not in tables:
        raise InvalidSetting(
            f"the job has no operator {operator!r}", job=plan.name, advice=f"Operators with a table to query: {known}"
        )
    names = tables[operator]
    if not names:
        raise InvalidSetting(
            "the operator has no table that can be queried, one value per key",
            job=plan.name,
            operator=operator,
            advice=f"Operators with such a table: {known}",
        )
    if table is None and len(names) > 1:
        raise InvalidSetting(
            "the operator has several tables", job=plan.name, operator=operator, advice=f"Name one: {', '.join(names)}"
        )
    if table is not None and table not in names:
        raise InvalidSetting(
            f"the operator has no table {table!r} that can be queried",
            job=plan.name,
            operator=operator,
            advice=f"Its tables: {', '.join(names)}",
        )
    stage = next(stage.id for stage in plan.stages if any(each.id == operator for each in stage.operators))
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


def not_running(job: str, state: str, seconds: float) -> WorkerLost:
    """The job has not answered a query in time."""
    return WorkerLost(
        f"the job has not answered the query within {seconds:.0f} s: its state is {state}",
        job=job,
        advice="Ask again when it is running",
    )


def has_ended(job: str) -> JobNotFound:
    """The job ended before it answered a query."""
    return JobNotFound("the job has ended, so its tables cannot be queried", job=job)


def _tables(operator: OperatorPlan) -> list[str]:
    return [state.name for state in operator.states if state.kind == "value"]
