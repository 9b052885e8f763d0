"""What `rf.testing.Driver` promises beyond what the tests of jobs need."""

from datetime import timedelta

import pytest

import rayflow as rf
from rayflow.core.errors import InvalidSetting


class Ride(rf.Record):
    city: str
    ts: int


def test_time_that_the_test_moves_closes_windows_of_a_source_with_idle_after_too() -> None:
    job = rf.Job("rides")
    rides = job.stream("rides", value=Ride, timestamp=lambda r: r.ts, idle_after=timedelta(seconds=5))
    rides.key_by(lambda r: r.city).window(rf.tumbling(minutes=1)).count().to("per-minute")
    with rf.testing.Driver(job, partitions=2) as d:
        d.send("rides", Ride("Rome", ts=1_000))
        d.advance(minutes=2)
        assert d.read("per-minute") == [1]


def test_a_partition_that_the_driver_does_not_have_is_refused() -> None:
    job = rf.Job("partitions")
    job.stream("in", value=str).to("out")
    with rf.testing.Driver(job) as driver, pytest.raises(InvalidSetting, match="none numbered 3") as caught:
        driver.send("in", "a", partition=3)
    assert "Driver(job, partitions=4)" in str(caught.value)
