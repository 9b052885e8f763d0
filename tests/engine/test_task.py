"""What a task does with records and event time, through the driver: double edges, idleness, drain."""

from __future__ import annotations

from datetime import timedelta

import rayflow as rf
from rayflow.core.batch import Batch, Origin
from rayflow.core.ids import TaskId
from rayflow.engine.actions import SendIdle, SendWatermark, TaskAction
from rayflow.engine.task import Task
from rayflow.engine.topology import resolve
from rayflow.plan.compile import plan_of
from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState
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


def two_merged_streams() -> rf.Job:
    job = rf.Job("merged")
    one, other = (
        job.stream(topic, value=Reading, timestamp=lambda r: r.ts, watermark=rf.monotonic())
        for topic in ("one", "other")
    )
    one.merge(other).key_by(lambda r: r.sensor).window(rf.tumbling(seconds=1)).count().to("counts")
    return job


def test_a_window_of_two_merged_streams_waits_for_the_one_that_is_behind() -> None:
    with Driver(two_merged_streams()) as d:
        d.send("one", Reading("a", 1, 100))
        d.send("one", Reading("a", 1, 1100))
        assert d.read("counts") == []
        d.send("other", Reading("a", 1, 200))
        d.send("other", Reading("a", 1, 1200))
        assert d.read("counts") == [2]
        d.finish()
        assert d.read("counts") == [2]


def test_idle_and_active_again_are_told_downstream_each_time_and_once() -> None:
    job = rf.Job("idle")
    readings = job.stream(
        "readings", value=Reading, timestamp=lambda r: r.ts, watermark=rf.monotonic(), idle_after=timedelta(seconds=10)
    )
    readings.key_by(lambda r: r.sensor).window(rf.tumbling(seconds=1)).count().to("counts")
    plan = plan_of(job)
    (stage, _), (source,), (exchange,) = plan.stages, plan.stages[0].sources, plan.exchanges
    store = MemoryStore()
    store.replace((), Stamp("lineage", 0))
    id = TaskId(stage.id, 0)
    now = 0
    task = Task(plan, resolve(plan, {source.id: 1}), id, TaskState(store, Codec()), lambda: now, 1)

    def told(actions: list[TaskAction]) -> list[TaskAction]:
        return [action for action in actions if isinstance(action, SendIdle | SendWatermark)]

    def look_at(time: int) -> list[TaskAction]:
        nonlocal now
        now = time
        return told(task.on_clock(time))

    def send(ts: int) -> list[TaskAction]:
        value = f'{{"sensor": "a", "value": 1, "ts": {ts}}}'.encode()
        return told(task.on_records(source.id, Batch(Origin("readings", 0), [None], [value], [0], [0]), 1))

    assert told(task.start(None)) == []
    assert send(500) == [SendWatermark(exchange.id, 499)]
    assert look_at(9_999) == []
    for time in (10_000, 50_000):  # idle, active, and idle once more
        assert look_at(time) == [SendIdle(exchange.id)]
        assert look_at(time + 100) == []
        assert send(500) == [SendWatermark(exchange.id, 499)]
        assert look_at(time + 200) == []


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


def test_every_operator_counts_the_records_that_it_takes_and_those_that_it_passes_on() -> None:
    job = rf.Job("counted")
    readings = job.stream("readings", value=Reading, timestamp=lambda r: r.ts)
    readings.filter(lambda r: r.value > 1, name="large").to("large", name="to_large")
    readings.flat_map(lambda r: [r.value] * r.value, name="copies").to("copies", name="to_copies")
    plan = plan_of(job)
    store = MemoryStore()
    store.replace((), Stamp("lineage", 0))
    task = Task(plan, resolve(plan, {"readings": 1}), TaskId("s1", 0), TaskState(store, Codec()), lambda: 0, 1)
    task.start(None)
    for offset in range(2):
        values = [b'{"sensor": "a", "value": %d, "ts": 0}' % value for value in (1, 2, 3)]
        batch = Batch(Origin("readings", 0), [None] * 3, values, [0] * 3, range(3 * offset, 3 * offset + 3))
        task.on_records("readings", batch, 3 * offset + 3)
    found = {id: (counters.records_in, counters.records_out) for id, counters in task.counters.items()}
    assert {id: found[id] for id in ("large", "copies", "to_large", "to_copies")} == {
        "large": (6, 4),
        "copies": (6, 12),
        "to_large": (4, 0),
        "to_copies": (12, 0),
    }
    assert [counts for id, counts in found.items() if id not in ("large", "copies", "to_large", "to_copies")] == [
        (6, 6)
    ]
