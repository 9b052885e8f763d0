"""The budget of a record: which part a sample counts for, and what each part costs alone."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from io import StringIO

import pytest
from rich.console import Console

from benchmarks.budget import NATIVE, PARTS, Spent, part_of, parts_of, table, threads_of
from benchmarks.floors import floors
from benchmarks.orders import Topics
from tests.kafka.broker import Broker

RUNTIME = "run (rayflow/runtimes/local/runtime.py:10)"


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        ([RUNTIME, "KafkaReader.poll (rayflow/connectors/kafka/reader.py:68)"], "consume"),
        ([RUNTIME, "KafkaReader.poll (rayflow/connectors/kafka/reader.py:80)",
          "_run (rayflow/connectors/kafka/columns.py:60)"], "accessors"),
        (["process (rayflow/operators/sink.py:60)", "JsonSerde.encode (rayflow/serde/json.py:49)",
          "mapped (rayflow/serde/columns.py:17)"], "encode"),
        (["process (rayflow/operators/map.py:9)", "<lambda> (map.py:22)"], "functions of the job"),
        (["process (rayflow/operators/table.py:9)", "loop (<rayflow loop 12345678>:4)"], "operators"),
        (["process (rayflow/operators/table.py:9)", "load (rayflow/state/state_table.py:4)"], "state"),
        (["take (rayflow/operators/sink.py:75)"], "staging"),
        (["feed (rayflow/connectors/kafka/outbox.py:84)"], "publish"),
        ([RUNTIME], "the rest of the engine"),
        (["<module> (json/__init__.py:1)"], "other"),
    ],
)  # fmt: skip
def test_a_sample_counts_for_the_innermost_part(stack: list[str], part: str) -> None:
    assert part_of(stack) == part


def test_a_thread_that_waits_for_work_is_not_counted() -> None:
    waits = [
        "_worker (concurrent/futures/thread.py:81)",
        "Condition.wait (threading.py:331)",
        "_run (rayflow/connectors/kafka/caller.py:40)",
        "_run (rayflow/connectors/kafka/caller.py:40);PyThread_acquire_lock_timed (libpython3.11.so);futex (libc.so.6)",
    ]
    assert parts_of([f"run (threading.py:982);{frame} 9" for frame in waits] + [f"{RUNTIME} 2"]) == {
        "the rest of the engine": 2
    }


def test_start_up_is_taken_out() -> None:
    long, short = Spent(Counter(decode=2.0, other=1.5)), Spent(Counter(decode=0.5, other=1.75))
    assert long.over(short, 1_000_000) == {"decode": 1.5, "other": 0.0}


def test_the_threads_of_a_child_are_told_apart() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert dict(threads_of(os.getpid()))[child.pid][1] >= 0.0
        finally:
            child.kill()


def test_every_part_has_a_row_and_what_it_costs_alone(kafka: Broker) -> None:
    topics = Topics(kafka.bootstrap)
    topics.fill("budget-orders", 2_000, lambda _: None)
    alone = floors(topics, "budget-orders", 2_000)
    assert set(alone) <= {*PARTS, NATIVE}
    assert all(cost >= 0 for cost in alone.values())
    shown = Console(file=StringIO(), width=150)
    shown.print(table({"count": {"decode": 0.5, NATIVE: 2.0}}, alone))
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "2.50" in text
    assert all(part in text for part in PARTS)
