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
