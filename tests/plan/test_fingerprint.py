"""What changes the plan's hash, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import rayflow as rf
from rayflow.plan.compile import plan_of
from rayflow.plan.fingerprint import fingerprint


def hash_of(build: Callable[[Any], Any], **options: Any) -> str:
    job = rf.Job("j", **options)
    build(job)
    return fingerprint(plan_of(job))


def windowed(job: Any, minutes: int = 1, **aggregations: Any) -> None:
    aggregations = aggregations or {"total": rf.sum(len)}
    job.stream("a").key_by(len).window(rf.tumbling(minutes=minutes)).aggregate(**aggregations).to("b")


class Pass(rf.ProcessFunction[Any, Any, Any]):
    def process(self, value: Any, ctx: rf.Context) -> list[Any]:
        return [value]


def carried(job: Any) -> None:
    """Operators after functions of the value, as job files could write them when these streams were not keyed."""
    a, b = job.stream("a", key=str), job.stream("b", key=rf.json)
    alone = a.group_by_key()
    alone.map(len).to_table().to("1")
    alone.process(Pass).filter(len).to_table(name="kept").changes().flat_map(list).to_table().to("2")
    alone.merge(alone.filter(len)).to_table().to("3")
    alone.window(rf.tumbling(minutes=1)).count().to_table().to("4")
    both = a.merge(b).group_by_key()
    both.process(Pass).to("5")
    both.map(len).process(Pass).to("6")
    a.key_by(len).map(len).process(Pass).key_by(len).count().changes().process(Pass).key_by(len).to_table().to("7")


def test_jobs_from_before_functions_of_the_value_kept_the_key_have_the_plan_that_they_had() -> None:
    assert hash_of(carried) == "83688f9e281769a4"


def test_functions_places_and_intervals_do_not_count() -> None:
    one = hash_of(windowed)
    other = hash_of(lambda job: windowed(job, total=rf.sum(lambda v: v + 1)), checkpoint_interval=timedelta(minutes=1))
    assert one == other
    assert len(one) == 16


def test_windows_aggregations_states_topics_and_order_count() -> None:
    hashes = [
        hash_of(windowed),
        hash_of(lambda job: windowed(job, minutes=2)),
        hash_of(lambda job: windowed(job, total=rf.max(len))),
        hash_of(lambda job: windowed(job, sum=rf.sum(len))),
        hash_of(lambda job: job.stream("a").to("b")),
        hash_of(lambda job: job.stream("a").to("c")),
        hash_of(lambda job: job.stream("a").map(len).filter(len).to("b")),
        hash_of(lambda job: job.stream("a").filter(len).map(len).to("b")),
        hash_of(lambda job: job.stream("a").group_by_key().count().to("b")),
        hash_of(lambda job: job.stream("a").to_table().to("b")),
        hash_of(lambda job: job.stream("a").map(len, name="x").to("b")),
    ]
    assert len(set(hashes)) == len(hashes)
