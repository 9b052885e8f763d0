"""What a task does with records and event time, through the driver: double edges, idleness, drain."""

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


def test_a_stream_that_is_merged_with_itself_comes_twice() -> None:
    job = rf.Job("twice")
    readings = job.stream("readings", value=Reading, timestamp=lambda r: r.ts)
    readings.merge(readings).map(lambda r: r.value).to("copies")
    keyed = readings.key_by(lambda r: r.sensor)
    keyed.merge(keyed).map(lambda r: r.value).to("moved")
    keyed.merge(readings.key_by(lambda r: r.sensor)).map(lambda r: r.value).to("moved-apart")
    with Driver(job, partitions=3) as d:
        d.send_all("readings", [Reading("a", 1, 0), Reading("b", 2, 0), Reading("c", 3, 0)])
        for topic in ("copies", "moved", "moved-apart"):
            assert sorted(d.read(topic)) == [1, 1, 2, 2, 3, 3], topic
