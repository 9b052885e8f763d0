"""Descriptions of a windowed job in two stages, as they are shown."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.plan.compile import plan_of
from rayflow.plan.describe import Format, describe

SNAPSHOTS = Path(__file__).parent / "snapshots"


class Order(rf.Record):
    user: str
    price: float
    qty: int
    ts: int


def revenue() -> rf.Job:
    job = rf.Job("revenue")
    orders = job.stream(
        "orders",
        value=Order,
        timestamp=lambda o: o.ts,
        watermark=rf.bounded(seconds=5),
        on_error=rf.dead_letter("unreadable"),
        sample=[Order("ada", 1.5, 2, 0)],
    )
    (
        orders.filter(lambda o: o.price > 0)
        .key_by(lambda o: o.user)
        .window(rf.tumbling(minutes=1), grace=timedelta(seconds=10))
        .late_to(rf.jsonl("late.jsonl"))
        .aggregate(total=rf.sum(lambda o: o.price * o.qty), orders=rf.count(), name="per-minute")
        .to(rf.kafka("revenue-per-minute", bootstrap="eu:9092", config={"sasl.password": "secret"}))
    )
    return job


@pytest.mark.parametrize(
    ("form", "file"), [("text", "revenue.txt"), ("mermaid", "revenue.mmd"), ("json", "revenue.json")]
)
def test_the_description_is_the_one_that_was_agreed(form: Format, file: str) -> None:
    """To accept a change, write what `describe` gives to the snapshot, with line numbers as 00."""
    described = re.sub(r"test_describe\.py:\d\d", "test_describe.py:00", describe(revenue(), form))
    assert described + "\n" == (SNAPSHOTS / file).read_text()


def test_json_holds_the_whole_plan() -> None:
    plan = plan_of(revenue())
    data = json.loads(describe(plan, "json"))
    assert [stage["id"] for stage in data["stages"]] == ["s1", "s2"]
    ids = [operator["id"] for stage in data["stages"] for operator in stage["operators"]]
    assert ids == [operator.id for stage in plan.stages for operator in stage.operators]
    assert data["stages"][1]["sinks"][1]["connector"] == "kafka://eu:9092"


@pytest.mark.parametrize("form", ["text", "mermaid", "json"])
def test_a_description_never_shows_a_connectors_settings(form: Format) -> None:
    assert "secret" not in describe(revenue(), form)
