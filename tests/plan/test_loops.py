"""Jobs that would read their own output without end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import rayflow as rf
from rayflow.core.errors import InvalidJob
from rayflow.plan.compile import plan_of


class Pass(rf.ProcessFunction[Any, Any, Any]):
    def process(self, value: Any, ctx: rf.Context) -> list[Any]:
        return [value]


def through_another(job: rf.Job) -> None:
    job.stream("orders").to("copies")
    job.stream("copies").peek(print).to("orders")


def late_ones(job: rf.Job) -> None:
    orders = job.stream("orders").key_by(str).window(rf.tumbling(minutes=1))
    orders.late_to("orders").count().to("counts")


ENDLESS: dict[str, Any] = {
    "a copy": lambda job: job.stream("orders").to("orders"),
    "defined first": lambda job: job.stream("other").merge(job.stream("orders")).to("orders"),
    "every value, changed": lambda job: job.stream("orders").map(str).key_by(len).to("orders"),
    "the same values again": lambda job: job.stream("orders").filter(bool).to("orders"),
    "a branch": lambda job: job.stream("orders").split(big=lambda v: v > 1)["big"].to("orders"),
    "through another topic": through_another,
    "dead letters": lambda job: job.stream("orders", on_error=rf.dead_letter("orders")).to("copies"),
    "late records": late_ones,
    "a pinned topic": lambda job: job.stream(rf.jsonl("a.jsonl")).to(rf.jsonl("a.jsonl")),
}


@pytest.mark.parametrize("build", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_job_that_feeds_itself_for_ever_is_refused_with_its_line(build: Any) -> None:
    job = rf.Job("j")
    build(job)
    with pytest.raises(InvalidJob, match=r"test_loops\.py:\d+: the job .*, which it reads: .* endless loop") as caught:
        plan_of(job)
    assert "Write to another topic" in caught.value.advice


def retries(job: rf.Job) -> None:
    tried = job.stream("orders").merge(job.stream("retries")).map(lambda o: {**o, "tries": o.get("tries", 0) + 1})
    tried.filter(lambda o: o["tries"] < 3).to("retries")


def chain(job: rf.Job) -> None:
    job.stream("a").to("b")
    job.stream("b").to("c")


ENDING: dict[str, Any] = {
    "retries": retries,
    "one topic after the other": chain,
    "another system": lambda job: job.stream("orders").to(rf.kafka("orders", bootstrap="eu:9092")),
    "a process function": lambda job: job.stream("orders").process(Pass).to("orders"),
    "flat_map": lambda job: job.stream("orders").flat_map(list).to("orders"),
    "failures of a function": lambda job: job.stream("orders").map(str, on_error=rf.dead_letter("orders")).to("copies"),
    "results of windows": lambda job: (
        job.stream("orders").key_by(str).window(rf.tumbling(timedelta(minutes=1))).count().to("orders")
    ),
}


@pytest.mark.parametrize("build", ENDING.values(), ids=ENDING.keys())
def test_a_loop_that_may_end_is_accepted(build: Any) -> None:
    job = rf.Job("j")
    build(job)
    plan_of(job)
