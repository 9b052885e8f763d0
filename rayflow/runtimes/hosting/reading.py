"""Reads rows of an operator's table for a query, on the worker's thread, in slices."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from rayflow.core.errors import InvariantBroken, RayflowError
from rayflow.core.ids import WorkerId
from rayflow.core.logging import get_logger
from rayflow.engine.task import Task
from rayflow.engine.worker import Worker
from rayflow.runtimes.hosting.messages import QueryRows, RowsFound
from rayflow.runtimes.hosting.queries import ROW_BYTES, in_several, too_much
from rayflow.runtimes.hosting.slices import SLICE
from rayflow.serde.codec import Codec
from rayflow.serde.keys import decode_key
from rayflow.serde.plain import plain

log = get_logger("rayflow.worker")

MOST = 8
"""Keys that are looked up at once, at most. Their rows are in memory together, whatever their size."""


def read_rows(
    asked: QueryRows, slot: WorkerId, worker: Worker, tell: Callable[[object], None], monotonic: Callable[[], float]
) -> Generator[None, None, None]:
    """Look for the keys in each task of the stage, a slice at a time, and tell RowsFound.

    How large rows are shows when they are read: so one key is looked up first, then twice as many each time, and one
    again after a slice has taken its time. Which task has a key is not computed: with `group_by_key` the topic decides.
    Whatever goes wrong is the answer of this query, and does not end the attempt.
    """
    found: dict[int, bytes] = {}
    error: RayflowError | None = None
    try:
        codec, size = Codec(), 0
        keys = {at: decode_key(key)[0] for at, key in enumerate(asked.keys)}
        began, count = monotonic(), 1
        for task in [task for id, task in worker.tasks.items() if id.stage == asked.stage]:
            places = list(keys)
            while places:
                now, places = places[:count], places[count:]
                for at, value in _read(task, asked, {at: keys[at] for at in now}).items():
                    if at in found:
                        raise in_several(asked.operator)
                    found[at] = codec.encode(plain(value))
                    size += len(found[at])
                if size > ROW_BYTES:
                    raise too_much(asked.operator)
                count = min(2 * count, MOST)
                if monotonic() - began > SLICE:
                    yield
                    began, count = monotonic(), 1
    except RayflowError as raised:
        error = raised
    except Exception as raised:
        # A query of one person must not end the job.
        log.exception("a query has failed", operator=asked.operator)
        error = InvariantBroken(f"the query has failed: {type(raised).__name__}", operator=asked.operator)
    tell(RowsFound(slot, asked.number, {} if error is not None else found, error))


def _read(task: Task, asked: QueryRows, keys: dict[int, Any]) -> dict[int, Any]:
    """The values at some keys, by their places, as of the task's last completed epoch."""
    rows = task.state.completed(asked.operator, asked.table).get_many(list(keys.values()))
    there = [(at, key, row) for (at, key), row in zip(keys.items(), rows, strict=True) if row is not None]
    values = task.operators[asked.operator].shown(asked.table, [(key, row) for _, key, row in there])
    return {at: value for (at, _, _), value in zip(there, values, strict=True)}
