"""What the engine calls for a record, for a key that is new, and for a batch, counted in every benchmark's job.

Each figure is the difference of two runs that differ in nothing else, so what a run costs by itself is gone.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.orders import orders
from benchmarks.workloads import WORKLOADS
from rayflow.core.metrics import Metrics
from tests.work.calls import Calls
from tests.work.local import LocalJob, plan_named

RECORDS, BATCHES, KEYS = 8_000, 4, 100

PER_RECORD = 0.05
"""Calls per record that count as none. What is left: more records make more blobs in the embedded log."""

BUILT_IN = {
    "identity": 0,
    "map": 1.81,  # what `filter` (1) and `map` (for the 0.81 that pass) give is appended to their columns
    "count": 2,  # the key's row is looked up, the result appended
    "count-epoch": 1,  # the key's row is looked up
    "shuffle": 4,  # as `count`, and: the new key is appended, and the record's place to its partition's
    "shuffle-epoch": 3,
    "window": 1,  # the key's row is looked up
}
"""Built-in functions called for each record: no more than a loop written by hand would call."""

USERS = {
    "identity": [],
    "map": [0.81, 1],  # `map` for the records that `filter` lets pass
    "count": [1],
    "count-epoch": [1],
    "shuffle": [1, 1],
    "shuffle-epoch": [1, 1],
    "window": [1],
}
"""How often each of the user's functions is called for a record: what must be seen, whatever the engine saves."""

PER_KEY = {"count": 12, "count-epoch": 12, "shuffle": 25, "shuffle-epoch": 25, "window": 9}
"""Functions called for a key that is met for the first time: it is looked for in the cache, the sealed epoch and LMDB,
encoded, its partition computed (`shuffle`: by each of four tasks that send it, and by the log), and its row sealed."""

PER_BATCH = {"shuffle": 500, "shuffle-epoch": 430}
"""Functions called for a poll's records, with an exchange (four batches more) and without."""
WITHOUT_EXCHANGE = 230
SEEN = 0.5
"""The part of a bound that is counted at least. Below that lower the bound, or the counting misses the engine."""


def callback(function: Callable[[str], int]) -> None:
    function("")


@cache
def counted(
    job: str, records: int = RECORDS, batches: int = BATCHES, keys: int = KEYS, with_metrics: bool = False
) -> Calls:
    """The calls of a run of one epoch over so many records, polls and keys."""
    warm(job, with_metrics)
    calls = Calls(Path(str(importlib.import_module(f"benchmarks.jobs.{job}").__file__)))
    with filled(job, records, keys) as local:
        metrics = Metrics(local.plan.name) if with_metrics else None
        with calls.counted():
            assert local.run(batch=records // batches, metrics=metrics) == records
    return calls


@cache
def warm(job: str, with_metrics: bool) -> None:
    """Run a job once: what is imported and made once in a process is no cost of the runs after it."""
    with filled(job, 10, 10) as local:
        local.run(batch=10, metrics=Metrics(local.plan.name) if with_metrics else None)


@contextmanager
def filled(job: str, records: int, keys: int) -> Iterator[LocalJob]:
    """A job that has not run, and its input."""
    with TemporaryDirectory() as folder:
        local = LocalJob(plan_named(job), Path(folder))
        local.append(orders(records, users=keys, items=keys))
        yield local


@pytest.mark.parametrize("name", WORKLOADS)
def test_nothing_is_called_per_record_but_the_users_functions_and_these_once(name: str) -> None:
    job = WORKLOADS[name].job
    more = counted(job, records=2 * RECORDS).beyond(counted(job))
    python, built_in = more.of_engine / RECORDS, more.of_engine_built_in / RECORDS
    users = sorted(round(times / RECORDS, 2) for times in more.of_user)
    print(f"{name}: per record {python:.3f} Python calls, {built_in:.2f} built-in ones, the user's functions {users}")
    assert python < PER_RECORD, more.most()
    assert BUILT_IN[name] - PER_RECORD < built_in < BUILT_IN[name] + PER_RECORD, more.most()
    assert users == USERS[name]


@pytest.mark.parametrize("name", PER_KEY)
def test_a_new_key_takes_few_calls(name: str) -> None:
    job = WORKLOADS[name].job
    more = counted(job, keys=2 * KEYS).beyond(counted(job))
    print(f"{name}: per new key {more.of_engine / KEYS:.1f} Python calls")
    assert SEEN * PER_KEY[name] < more.of_engine / KEYS < PER_KEY[name], more.most()


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_batch_takes_few_calls(name: str) -> None:
    job = WORKLOADS[name].job
    more = counted(job, batches=2 * BATCHES).beyond(counted(job))
    print(f"{name}: per batch {more.of_engine / BATCHES:.0f} Python calls")
    most = PER_BATCH.get(name, WITHOUT_EXCHANGE)
    assert SEEN * most < more.of_engine / BATCHES < most, more.most()


def test_metrics_take_no_call_per_record() -> None:
    single, double = counted("count", with_metrics=True), counted("count", records=2 * RECORDS, with_metrics=True)
    more = double.beyond(single)
    print(f"count with metrics: per record {more.of_engine / RECORDS:.3f} Python calls")
    assert more.of_engine / RECORDS < PER_RECORD, more.most()
    assert single.of_engine > counted("count").of_engine  # what the metrics call is counted
    assert [round(times / RECORDS, 2) for times in more.of_user] == USERS["count"]


def test_every_call_of_this_thread_and_of_others_is_counted() -> None:
    calls = Calls(Path(__file__))

    def users() -> None:
        len("")

    def work() -> None:
        for _ in range(7):
            users()
            callback(len)

    with calls.counted():
        work()
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
            thread.join()
    assert calls.python[users.__code__] == calls.python[callback.__code__] == 3 * 7
    assert calls.built_in[users.__code__] == calls.built_in[callback.__code__] == 3 * 7
    assert 3 * 7 in calls.of_user
