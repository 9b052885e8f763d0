"""What operators of several inputs, and those that hold event time back, are promised: by hand, and in simulations."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

import rayflow as rf
from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.engine.operator_time import OperatorTime
from rayflow.operators.base import Passing
from rayflow.operators.registry import build
from rayflow.plan.compile import plan_of
from rayflow.plan.describe import describe
from rayflow.plan.fingerprint import fingerprint
from rayflow.plan.physical import Edge
from rayflow.plan.validate import validate
from rayflow.testing import Driver
from rayflow.testing.simulation import world
from rayflow.testing.simulation.jobs import TOPIC, Shape
from rayflow.testing.simulation.simulation import Simulation, SimulationFailed
from tests.operators.probes import AskSpec, CheckedSpec, PairSpec, WaitOperator, WaitSpec, behind, meeting

Told = list[tuple[int, dict[str, int]]]


def stream(job: rf.Job, topic: str, **options: Any) -> rf.Stream[Any, Any]:
    return job.stream(topic, value=int, timestamp=lambda n: n, **options)


# Edges


def test_a_batch_comes_by_the_input_that_its_edge_leads_to() -> None:
    job = rf.Job("pair")
    a, b = stream(job, "a"), stream(job, "b")
    meeting(a, b, PairSpec(), "pair").to("out", value=rf.json)
    with Driver(job) as d:
        d.send("a", 1)
        d.send("b", 2)
        assert d.read("out") == [["left", 1], ["right", 2]]


@pytest.mark.parametrize("keyed", [False, True], ids=["in its stage", "through an exchange"])
def test_one_stream_at_both_inputs_comes_by_both(keyed: bool) -> None:
    job = rf.Job("both")
    one = stream(job, "a")
    side: rf.Stream[Any, Any] = one.key_by(str) if keyed else one
    meeting(side, side, PairSpec(), "pair").to("out", value=rf.json)
    plan = plan_of(job)
    edges = (Edge("pair", "left"), Edge("pair", "right"))
    assert edges == (plan.exchanges[0].into if keyed else plan.operator("stream-1").outputs["out"])
    with Driver(job, partitions=3) as d:
        d.send_all("a", [1, 2])
        assert sorted(d.read("out")) == [["left", 1], ["left", 2], ["right", 1], ["right", 2]]


def test_two_exchanges_from_one_stream_lead_to_two_inputs() -> None:
    job = rf.Job("two")
    one = stream(job, "a")
    meeting(one.key_by(str), one.key_by(lambda n: str(n)), PairSpec(), "pair").to("out", value=rf.json)
    with Driver(job, partitions=2) as d:
        d.send_all("a", [1, 2, 3])
        assert sorted(d.read("out")) == [[side, n] for side in ("left", "right") for n in (1, 2, 3)]


def test_an_input_is_named_where_an_operator_has_several() -> None:
    job = rf.Job("named")
    a, b = stream(job, "a"), stream(job, "b")
    meeting(a, b.key_by(str), PairSpec(), "pair").to("out")
    plan = plan_of(job)
    text, mermaid, data = describe(job), describe(job, "mermaid"), json.loads(describe(job, "json"))
    assert "exchange key_by-1.exchange: s2 to s1, by key -> pair:right" in text
    assert "-->|left|" in mermaid
    assert "==>|by key, right|" in mermaid
    assert data["exchanges"][0]["into"] == ["pair:right"]
    turned = rf.Job("named")
    a, b = stream(turned, "a"), stream(turned, "b")
    meeting(b.key_by(str), a, PairSpec(), "pair").to("out")
    assert fingerprint(plan) != fingerprint(plan_of(turned))


def test_an_input_that_nothing_feeds_is_found_out() -> None:
    job = rf.Job("unfed")
    a = stream(job, "a")
    meeting(a, a, PairSpec(), "pair").to("out")
    plan = plan_of(job)
    (stage,) = plan.stages
    first, *others = stage.operators
    broken = replace(first, outputs={"out": (Edge("pair", "left"),)})
    with pytest.raises(InvariantBroken, match=r"pair is fed by \['left'\], not by \['left', 'right'\]"):
        validate(replace(plan, stages=(replace(stage, operators=(broken, *others)),)))


# Event time


def test_each_input_has_the_watermark_of_its_own_source() -> None:
    seen: Told = []
    job = rf.Job("two-sources")
    meeting(stream(job, "a"), stream(job, "b"), CheckedSpec(seen), "checked").to("out")
    with Driver(job) as d:
        d.send("a", 100)
        d.send("b", 50)
        d.send("a", 200)
        d.send("b", 300)
    assert seen == [
        (WATERMARK_MIN, {"left": 99, "right": WATERMARK_MIN}),
        (49, {"left": 99, "right": 49}),
        (49, {"left": 199, "right": 49}),
        (199, {"left": 199, "right": 299}),
    ]


def test_an_input_whose_source_is_idle_does_not_hold_the_others_back() -> None:
    seen: Told = []
    job = rf.Job("idle")
    idle = stream(job, "b", idle_after=timedelta(seconds=1))
    meeting(stream(job, "a"), idle, CheckedSpec(seen), "checked").to("out")
    with Driver(job) as d:
        d.send("a", 100)
        d.send("a", 5_000)
    assert seen[-1] == (4_999, {"left": 4_999, "right": 4_999})


def test_an_operator_that_holds_event_time_back_holds_back_only_what_is_behind_it() -> None:
    held: Told = []
    free: Told = []
    job = rf.Job("held")
    one = stream(job, "a")
    waited = behind(one, WaitSpec(100), "wait")
    meeting(waited, waited, CheckedSpec(held), "behind").to("out")
    meeting(one, one, CheckedSpec(free), "beside").to("beside")
    with Driver(job) as d:
        for n in (10, 60, 200, 300):
            d.send("a", n)
        assert [watermark for watermark, _ in free] == [9, 59, 199, 299]
        assert [watermark for watermark, _ in held] == [9, 199]
        assert d.read("out") == [10, 60, 10, 60]
        d.finish()
        assert d.read("out") == [200, 300, 200, 300]
        assert held[-1][0] == WATERMARK_MAX


def test_an_exchange_is_told_the_watermark_that_comes_to_it() -> None:
    """Windows behind an exchange close by the time that was held back in front of it, and lose nothing."""
    job = rf.Job("windows")
    waited = behind(stream(job, "a"), WaitSpec(1_500), "wait")
    waited.key_by(lambda n: "all").window(rf.tumbling(seconds=1)).count().to("counts")
    with Driver(job, partitions=2) as d:
        for n in range(0, 10_000, 500):
            d.send("a", n, partition=n // 500 % 2)
        assert d.read("counts") == [2] * 7
        d.finish()
        assert d.read("counts") == [2] * 3
        assert d.state_rows() == 0


def test_what_was_let_through_is_never_taken_back_and_never_ahead() -> None:
    job = rf.Job("time")
    one = stream(job, "a")
    behind(one, WaitSpec(1), "wait").to("out")
    plan = plan_of(job)
    (stage,) = plan.stages
    time = OperatorTime(stage, {}, {operator.id: build(operator) for operator in stage.operators})
    assert list(time.advance({"stream-1": 100})) == [("wait", {"in": 100})]
    time.passes("wait", 90)
    time.passes("wait", 50)
    assert time._passed["wait"] == 90
    assert list(time.advance({"stream-1": 100})) == []
    with pytest.raises(InvariantBroken, match="has not reached it"):
        time.passes("wait", 101)


# In the simulation: crashes, recoveries, and any order of what tasks are given


def probed(shape: Shape) -> rf.Job:
    """The job of a branch "pass", by way of the probes: each record waits on one way, and meets itself on the other."""
    job = rf.Job("simulated", checkpoint_interval=timedelta(milliseconds=shape.interval))
    strategy = rf.bounded(milliseconds=shape.disorder)
    source: Any = job.stream(TOPIC, key=str, timestamp=lambda v: v["ts"], watermark=strategy, name="input")
    keyed = source.key_by(lambda v: v["user"], name="by-user")
    met = meeting(behind(keyed, WaitSpec(shape.timer), "wait"), keyed, PairSpec(), "pair")
    if shape.filtered:
        met = behind(met.filter(lambda pair: pair[1]["n"] % 2 == 0, name="even"), AskSpec(tuple, limit=4), "ask")
    late = met.filter(lambda pair: pair[0] == "left", name="late").key_by(lambda pair: pair[1]["user"], name="by-late")
    soon = met.filter(lambda pair: pair[0] == "right", name="soon").key_by(lambda pair: pair[1]["user"], name="by-soon")
    checked = meeting(late, soon, CheckedSpec([]), "checked").filter(lambda pair: pair[0] == "left", name="once")
    checked.map(lambda pair: {"id": pair[1]["id"], "user": pair[1]["user"]}, name="pick").to(
        "pass", key=str, name="to-pass"
    )
    return job


def shape_of(seed: int, calls: bool = False) -> Shape:
    """`calls` has the probe with calls, which stands behind the filter."""
    random = Random(seed)
    return Shape(
        partitions=random.choice((1, 2, 4)),
        stages=1,
        branches=("pass",),
        filtered=calls,
        disorder=random.choice((1, 50, 400)),
        window=200,
        timer=random.choice((1, 100, 1000)),
        interval=random.choice((100, 300)),
    )


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "make_job", probed)


@pytest.mark.no_cover
@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize("calls", [False, True], ids=["", "with calls"])
@pytest.mark.parametrize("seed", range(20))
def test_probes_in_a_world_that_breaks_lose_nothing_and_are_never_behind(seed: int, calls: bool) -> None:
    Simulation(seed, shape=shape_of(seed, calls)).run()


@pytest.mark.no_cover
@pytest.mark.usefixtures("probes")
def test_the_simulation_finds_an_operator_that_does_not_hold_event_time_back(monkeypatch: pytest.MonkeyPatch) -> None:
    on_watermark = WaitOperator.on_watermark

    def hasty(self: WaitOperator, watermark: int, inputs: Any) -> Passing:
        yield from on_watermark(self, watermark, inputs)
        return watermark

    monkeypatch.setattr(WaitOperator, "on_watermark", hasty)
    with pytest.raises(SimulationFailed, match="is behind"):
        Simulation(0, shape=replace(shape_of(0), timer=1000)).run()
