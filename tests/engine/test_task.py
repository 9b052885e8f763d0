"""What a task does with event time, through the driver: window behind window, idleness, drain."""

from __future__ import annotations

from datetime import timedelta

import rayflow as rf
from rayflow.testing import Driver


class Reading(rf.Record):
    sensor: str
    value: int
    ts: int


def test_a_window_behind_a_window_with_grace_loses_nothing() -> None:
    job = rf.Job("windows")
    readings = job.stream("readings", value=Reading, timestamp=lambda r: r.ts)
    per_second = (
        readings.key_by(lambda r: r.sensor)
        .window(rf.tumbling(seconds=1), grace=timedelta(seconds=5))
        .aggregate(total=rf.sum(lambda r: r.value))
    )
    for_all = (
        per_second.key_by(lambda w: "all").window(rf.tumbling(seconds=1)).aggregate(total=rf.sum(lambda w: w.total))
    )
    for_all.to("totals")
    with Driver(job) as d:
        for second in range(20):
            for sensor in "abc":
                d.send("readings", Reading(sensor, 1, second * 1000 + 500))
        d.finish()
        assert [r.total for r in d.read("totals")] == [3] * 20


def test_an_idle_partition_holds_time_back_only_until_it_is_known_to_be_idle() -> None:
    job = rf.Job("idle")
    readings = job.stream("readings", value=Reading, timestamp=lambda r: r.ts, idle_after=timedelta(seconds=10))
    readings.key_by(lambda r: r.sensor).window(rf.tumbling(seconds=1)).count().to("counts")
    with Driver(job, partitions=2, start=0) as d:
        d.send("readings", Reading("a", 1, 100), partition=0)
        d.send("readings", Reading("a", 1, 3000), partition=0)
        assert d.read("counts") == []
        d.send("readings", Reading("a", 1, 20_000), partition=0)
        assert d.read("counts") == [1, 1]


def test_a_bounded_run_fires_everything_and_what_comes_later_is_not_late_because_of_it() -> None:
    job = rf.Job("bounded")
    readings = job.stream("readings", value=Reading, timestamp=lambda r: r.ts)
    readings.key_by(lambda r: r.sensor).window(rf.tumbling(seconds=1)).count().to("counts")
    with Driver(job) as d:
        d.send("readings", Reading("a", 1, 100))
        d.finish()
        d.send("readings", Reading("a", 1, 1100))
        d.finish()
        assert d.read("counts") == [1, 1]
        assert d.state_rows() == 0
