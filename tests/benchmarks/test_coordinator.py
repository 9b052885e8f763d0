"""The work of a coordinator, and of one worker's channels, grows no faster than the job: counted, not timed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

import rayflow
from benchmarks.coordinator import Size, forget, least_moved, measure, table
from benchmarks.counted_store import CountedStore
from benchmarks.hollow import HollowCluster, counting_job, run_before
from benchmarks.one_worker import OneWorker
from rayflow.core.ids import TaskId
from rayflow.engine.placement import place
from rayflow.engine.topology import resolve

SMALL, LARGE = Size(20, 200), Size(80, 800)
MORE = LARGE.workers / SMALL.workers
LINEAR = 1.3 * MORE
CHAIN = 30


class Calls:
    """Counts the calls of rayflow's functions, and those that they make, on this thread and those begun meanwhile."""

    def __init__(self) -> None:
        self.count = 0
        self._code = rayflow.__file__.removesuffix("__init__.py")

    def during(self, call: Callable[[], object]) -> int:
        """How many there are during `call`."""
        before = self.count
        call()
        return self.count - before

    def see(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Called by Python."""
        if event in ("call", "c_call") and frame.f_code.co_filename.startswith(self._code):
            self.count += 1


@pytest.fixture
def calls() -> Iterator[Calls]:
    calls = Calls()
    before = sys.getprofile()
    threading.setprofile(calls.see)
    sys.setprofile(calls.see)
    yield calls
    sys.setprofile(before)
    threading.setprofile(None)


def cluster_of(size: Size) -> HollowCluster:
    cluster = HollowCluster(size.tasks // 2, CountedStore())
    run_before(cluster, size.workers, CHAIN)
    cluster.begin(size.workers)
    cluster.epoch()
    forget(cluster)
    return cluster


def test_an_epoch_takes_two_messages_to_each_worker_and_two_from_it() -> None:
    for size in (SMALL, LARGE):
        cluster = cluster_of(size)
        cluster.epoch()
        assert cluster.traffic.sent == {"BarrierInjected": size.workers, "EpochCommitted": size.workers}
        assert cluster.traffic.received == {"SegmentAcked": size.workers, "EpochDone": size.workers}
        cluster.end()


def test_what_an_attempt_begins_with_is_small_whatever_the_checkpoint_names() -> None:
    """A copy goes to every worker: it tells where tasks are, and leaves the manifest in the store."""
    sizes = {}
    for chain in (2, 200):
        cluster = HollowCluster(SMALL.tasks // 2, CountedStore())
        run_before(cluster, SMALL.workers, chain)
        cluster.begin(SMALL.workers)
        sizes[chain] = cluster.traffic.bytes_sent
        cluster.end()
    assert sizes[200] < sizes[2] + SMALL.workers * 16


def test_the_work_of_a_start_grows_no_faster_than_the_job(calls: Calls) -> None:
    counts = []
    for size in (SMALL, LARGE):
        cluster = HollowCluster(size.tasks // 2, CountedStore())
        counts.append(calls.during(lambda cluster=cluster, size=size: cluster.begin(size.workers)))  # type: ignore[misc]
        cluster.end()
    assert counts[1] / counts[0] < LINEAR


def test_the_work_of_an_epoch_grows_no_faster_than_the_job(calls: Calls) -> None:
    small, large = (calls.during(cluster_of(size).epoch) for size in (SMALL, LARGE))
    assert small > SMALL.tasks
    assert large / small < LINEAR


def test_the_work_of_a_recovery_grows_no_faster_than_the_job(calls: Calls) -> None:
    counts = []
    for size in (SMALL, LARGE):
        cluster = cluster_of(size)
        cluster.epoch(lost=0)
        cluster.end()
        forget(cluster)
        before = dict(cluster.placement)
        counts.append(calls.during(lambda cluster=cluster, size=size: cluster.begin(size.workers)))  # type: ignore[misc]
        assert cluster.placement == before
        assert cluster.traffic.sent == {
            "Fence": size.workers,
            "ReadMarkers": 1,
            "Republish": 1,
            "Start": size.workers,
        }
    assert counts[1] / counts[0] < LINEAR


def test_no_more_tasks_move_than_evenness_takes() -> None:
    tasks = [TaskId(stage, p) for stage in ("read", "count") for p in range(LARGE.tasks // 2)]
    placed = place(tasks, range(LARGE.workers))
    for workers in (72, 80, 88, 40, 79):
        after = place(tasks, range(workers), placed)
        assert sum(after[task] != placed[task] for task in tasks) == least_moved(placed, range(workers))
        placed = after


def test_the_barriers_from_one_worker_to_another_share_a_frame_and_cost_what_its_channels_do(calls: Calls) -> None:
    plan, counts = counting_job(), []
    for size in (SMALL, LARGE):
        worker = OneWorker(plan, resolve(plan, {"in": size.tasks // 2}), size.workers)
        turn = calls.during(lambda worker=worker: worker.watermark(0))  # type: ignore[misc]
        counts.append(turn + calls.during(worker.barrier))
        assert worker.channels == 5 * size.tasks // 2
        assert worker.frames == size.workers - 1
    assert counts[1] / counts[0] < LINEAR


def test_the_benchmark_measures_each_figure_of_every_job() -> None:
    found = {size: measure(size, epochs=1, chain=3) for size in (Size(2, 8), Size(4, 16))}
    assert table(found).row_count == len(found[Size(2, 8)]) == len(found[Size(4, 16)])
