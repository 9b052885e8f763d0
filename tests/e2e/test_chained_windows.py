"""Windows behind windows: when the second ones close, and what a second bounded run finds closed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import rayflow as rf
from tests.e2e.brokers import Broker
from tests.e2e.running import run

GRACE = timedelta(seconds=5)


def chained(broker: Broker) -> rf.Job:
    """Counts in windows of ten seconds with grace, and their sums in windows of twenty."""
    job = rf.Job(broker.name("chained"))
    counts = (
        job.stream(broker.name("in"), key=str, value=int, watermark=rf.monotonic())
        .group_by_key()
        .window(rf.tumbling(seconds=10), grace=GRACE)
        .late_to(broker.name("late"))
        .aggregate(n=rf.count(), name="tens")
    )
    (
        counts.group_by_key()
        .window(rf.tumbling(seconds=20))
        .late_to(broker.name("late"))
        .aggregate(n=rf.sum(lambda count: count.n), name="twenties")
        .to(broker.name("out"))
    )
    return job


def test_a_window_that_a_bounded_run_closed_behind_another_with_grace_is_not_opened_again(
    embedded: Broker, state: Path
) -> None:
    """The end of the first run closes [0, 20) of the second window. A record at 12 s is in a window of the first one
    that has never been opened, and whose result could only be late."""
    embedded.create("in")
    embedded.append("in", [("k", 1, 1_000)])
    run(chained(embedded), embedded, state)
    assert embedded.values("out") == [{"key": "k", "window_start": 0, "window_end": 20_000, "n": 1}]
    embedded.append("in", [("k", 2, 12_000), ("k", 3, 31_000)])
    run(chained(embedded), embedded, state)
    assert [(window["window_start"], window["n"]) for window in embedded.values("out")] == [(0, 1), (20_000, 1)]
    assert len(embedded.values("late")) == 1


def test_updates_of_a_window_with_grace_do_not_hold_back_the_windows_behind_it() -> None:
    """They come at once with their records' times; only final results come as late as the grace."""
    for emit, closed in (("updates", [0]), ("final", [])):
        job = rf.Job("held")
        numbers = job.stream("in", key=str, value=int, watermark=rf.monotonic()).group_by_key()
        counts = numbers.window(rf.tumbling(seconds=10), grace=timedelta(hours=1)).aggregate(n=rf.count(), emit=emit)
        counts.group_by_key().window(rf.tumbling(seconds=10)).aggregate(n=rf.count()).to("out")
        with rf.testing.Driver(job) as driver:
            driver.send("in", 1, key="k", timestamp=1_000)
            driver.send("in", 2, key="k", timestamp=31_000)
            assert [window.window_start for window in driver.read("out")] == closed
            driver.send("in", 3, key="k", timestamp=3_700_000)
            windows = closed + [window.window_start for window in driver.read("out")]
            assert windows == [0, 30_000]  # a final result that comes an hour later is not late for its window
