"""Partitions are idle once nothing came while the job listened; not because the job did not listen."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import rayflow as rf
from rayflow.core.batch import EncodedBatch
from rayflow.core.clock import system_clock
from rayflow.runtimes.hosting.status import JobStatus
from tests.e2e.brokers import Broker
from tests.e2e.running import Running, run

MINUTE = 60_000
WINDOW = 10_000


def put(broker: Broker, partition: int, times: range) -> None:
    """Records of these event times."""
    values: list[bytes | None] = [b'{"t":%d,"p":%d}' % (time, partition) for time in times]
    appender = broker.connector.appender()
    keys: list[bytes | None] = [None] * len(values)
    appender.append(EncodedBatch(broker.name("in"), keys, values, [1] * len(values), partition=partition))
    appender.close()


def windows(broker: Broker, each: Callable[[], object] = lambda: None) -> rf.Job:
    """Counts in windows of 10 s of event time; `each` is called for every record."""

    def time_of(value: dict[str, int]) -> int:
        each()
        return value["t"]

    job = rf.Job(broker.name("windows"))
    stream = job.stream(
        broker.name("in"),
        value=dict,
        timestamp=time_of,
        watermark=rf.monotonic(),
        idle_after=timedelta(milliseconds=MINUTE),
    )
    counted = (
        stream.key_by(lambda value: value["p"]).window(rf.tumbling(milliseconds=WINDOW)).late_to(broker.name("late"))
    )
    counted.count().to(broker.name("out"), name="out")
    broker.create("in", 2)
    broker.create("late")
    broker.create("out")
    return job


Windows = dict[tuple[str, int], int]
"""Counts, by partition and by the end of the window."""


def shown(broker: Broker) -> Windows:
    """What the job has written, each window once."""
    found = [((record.key or b"").decode(), record.timestamp + 1, record.json) for record in broker.read("out")]
    counts = {(key, end): count for key, end, count in found}
    assert len(counts) == len(found)
    return counts


def counts_of(**times: range) -> Windows:
    """What it has to write for the records that `put` has written: `p0` are the times of partition 0."""
    return Counter((p.removeprefix("p"), time // WINDOW * WINDOW + WINDOW) for p in times for time in times[p])


class Jumping:
    """The machine's clock; `jump` ms ahead."""

    def __init__(self) -> None:
        self.jump = 0

    def __call__(self) -> int:
        return system_clock() + self.jump


def test_records_that_waited_while_the_process_was_suspended_are_not_late(embedded: Broker, state: Path) -> None:
    clock = Jumping()

    calls = itertools.count(1)

    def suspended() -> None:
        """Now and then the process sleeps for an hour, in the middle of a record."""
        if next(calls) % 5 == 0:
            clock.jump += 60 * MINUTE

    job = windows(embedded, suspended)
    times = range(1_000, 60_000, 1_000)
    put(embedded, 0, times)
    put(embedded, 1, times)
    run(job, embedded, state, clock=clock, max_poll_records=7)
    assert embedded.read("late") == []
    assert shown(embedded) == counts_of(p0=times, p1=times)


def test_a_partition_that_a_slow_job_has_not_come_to_is_not_idle(embedded: Broker, state: Path) -> None:
    clock = Jumping()

    def slow() -> None:
        clock.jump += 5_000

    job = windows(embedded, slow)
    many, few = range(1_000, 100_000, 500), range(1_000, 60_000, 1_000)
    put(embedded, 0, many)
    put(embedded, 1, few)
    run(job, embedded, state, clock=clock, max_poll_records=7)
    assert embedded.read("late") == []
    assert shown(embedded) == counts_of(p0=many, p1=few)


def test_a_partition_that_is_silent_while_the_job_listens_is_idle(embedded: Broker, state: Path) -> None:
    began = system_clock()
    job = windows(embedded)
    times = range(1_000, 60_000, 1_000)
    put(embedded, 0, times)
    with Running(job, embedded, state, clock=lambda: began + 50 * (system_clock() - began)) as running:

        def met(progress: JobStatus) -> bool:
            put(embedded, 0, range(60_000, 60_001))
            return bool(embedded.read("out"))

        running.until(met)
    assert embedded.read("late") == []
    assert shown(embedded).items() <= counts_of(p0=times).items()
