"""From calls to stages and exchanges."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rayflow as rf
from rayflow.api.specs.base import StateSpec
from rayflow.api.specs.outputs import SinkSpec
from rayflow.core.errors import InvalidJob, InvariantBroken
from rayflow.core.topics import TopicRef
from rayflow.plan.compile import plan_of
from rayflow.plan.describe import describe
from rayflow.plan.physical import Edge, JobPlan
from rayflow.plan.validate import validate
from rayflow.serde.auto import dead_letters


def shape(plan: JobPlan) -> dict[str, list[str]]:
    return {stage.id: [operator.id for operator in stage.operators] for stage in plan.stages}


def test_operators_without_an_exchange_are_one_stage() -> None:
    job = rf.Job("j", checkpoint_interval=timedelta(seconds=5), delivery="at_least_once")
    job.stream("a").map(len).to("b")
    plan = plan_of(job)
    assert (plan.name, plan.checkpoint_interval, plan.delivery) == ("j", 5000, "at_least_once")
    assert shape(plan) == {"s1": ["stream-1", "map-1", "sink-1"]}
    (stage,) = plan.stages
    assert [(source.id, source.topic.name, source.into) for source in stage.sources] == [("a", "a", ("stream-1",))]
    assert [(sink.operator, sink.topic.name) for sink in stage.sinks] == [("sink-1", "b")]
    assert (stage.inputs, stage.outputs, stage.keyed_by_source) == ((), (), False)
    assert plan.operator("map-1").outputs == {"out": (Edge("sink-1"),)}


def test_key_by_begins_a_new_stage() -> None:
    job = rf.Job("j")
    job.stream("a").key_by(len).window(rf.tumbling(minutes=1)).count().to("b")
    plan = plan_of(job)
    assert shape(plan) == {"s1": ["stream-1", "key_by-1"], "s2": ["window-1", "sink-1"]}
    (exchange,) = plan.exchanges
    assert (exchange.upstream, exchange.downstream, exchange.into) == ("s1", "s2", (Edge("window-1"),))
    assert plan.operator("key_by-1").outputs == {"out": (Edge(exchange.id),)}
    assert (plan.stages[0].outputs, plan.stages[1].inputs) == ((exchange.id,), (exchange.id,))


def test_all_that_follows_one_key_by_shares_one_exchange() -> None:
    job = rf.Job("j")
    keyed = job.stream("a").key_by(len)
    keyed.count().to("counts")
    keyed.filter(len).reduce(max).to("largest")
    plan = plan_of(job)
    assert len(plan.stages) == 2
    assert [exchange.into for exchange in plan.exchanges] == [(Edge("count-1"), Edge("filter-1"))]


def test_group_by_key_needs_no_exchange_but_marks_the_stage() -> None:
    job = rf.Job("j")
    job.stream("a").group_by_key().count().to("b")
    (stage,) = plan_of(job).stages
    assert stage.keyed_by_source


def test_two_streams_of_one_topic_share_a_source() -> None:
    job = rf.Job("j")
    job.stream("a", value=str).to("b")
    job.stream("a", value=bytes).to("c")
    (stage,) = plan_of(job).stages
    assert [(source.id, source.into) for source in stage.sources] == [("a", ("stream-1", "stream-2"))]


def test_topics_of_one_name_in_two_systems_are_two_sources() -> None:
    job = rf.Job("j")
    job.stream("a").merge(job.stream(rf.kafka("a", bootstrap="eu:9092"))).to("b")
    (stage,) = plan_of(job).stages
    assert [source.id for source in stage.sources] == ["a", "a#2"]


def test_a_sample_reaches_the_source() -> None:
    job = rf.Job("j")
    job.stream("a", sample=[1, 2]).to("b")
    (source,) = plan_of(job).stages[0].sources
    assert source.sample is not None
    assert list(source.sample.values()) == [1, 2]


def test_merging_streams_that_were_both_exchanged_makes_one_stage_of_them() -> None:
    job = rf.Job("j")
    a, b = job.stream("a").key_by(len), job.stream("b").key_by(len)
    a.merge(b).to("c")
    assert shape(plan_of(job)) == {
        "s1": ["stream-1", "key_by-1"],
        "s2": ["stream-2", "key_by-2"],
        "s3": ["merge-1", "sink-1"],
    }


def test_a_stage_can_take_a_source_and_an_exchange() -> None:
    job = rf.Job("j")
    late = job.stream("b")
    job.stream("a").key_by(len).merge(late).to("c")
    plan = plan_of(job)
    assert [stage.id for stage in plan.stages] == ["s2", "s1"], "in topological order, numbered by definition"
    assert plan.stages[1].sources
    assert plan.stages[1].inputs


def test_merging_exchanged_records_with_their_own_source_is_refused_at_its_line() -> None:
    job = rf.Job("j")
    stream = job.stream("a")
    stream.key_by(len).merge(stream).to("b")
    with pytest.raises(InvalidJob, match=r"test_compile\.py:\d+: merge\(\) joins records that key_by\(\) has moved"):
        plan_of(job)


def test_a_circle_through_two_topics_is_refused() -> None:
    job = rf.Job("j")
    a, b = job.stream("a"), job.stream("b")
    a.key_by(len).merge(b).to("c")
    b.key_by(len).merge(a).to("d")
    with pytest.raises(InvalidJob, match="merge"):
        plan_of(job)


def test_dead_letters_of_one_stage_and_topic_share_a_sink() -> None:
    job = rf.Job("j")
    stream = job.stream("a", on_error=rf.dead_letter("dead")).map(abs, on_error=rf.dead_letter("dead"))
    keyed = stream.map(abs, on_error=rf.dead_letter("other")).key_by(abs)
    keyed.aggregate(n=rf.sum(abs), on_error=rf.dead_letter("dead")).to("b", on_error=rf.dead_letter("dead"))
    plan = plan_of(job)
    assert shape(plan)["s1"][-2:] == ["dead_letter-s1-1", "dead_letter-s1-2"]
    assert shape(plan)["s2"][-1:] == ["dead_letter-s2-1"]
    for operator in ("stream-1", "map-1"):
        assert plan.operator(operator).outputs["dead_letter"] == (Edge("dead_letter-s1-1"),)
    assert plan.operator("map-2").outputs["dead_letter"] == (Edge("dead_letter-s1-2"),)
    for operator in ("aggregate-1", "sink-1"):
        assert plan.operator(operator).outputs["dead_letter"] == (Edge("dead_letter-s2-1"),)
    sink = plan.operator("dead_letter-s1-1")
    assert sink.spec == SinkSpec(TopicRef("dead"), dead_letters, dead_letters)
    assert [s.topic.name for s in plan.stages[0].sinks] == ["dead", "other"]


def test_ports_lead_where_branches_and_late_records_go() -> None:
    job = rf.Job("j")
    branches = job.stream("a").split(x=len, y=len)
    branches["x"].to("x")
    branches.rest.key_by(len).window(rf.tumbling(minutes=1)).late_to("late").count().to("counts")
    plan = plan_of(job)
    assert plan.operator("split-1").outputs == {"x": (Edge("sink-1"),), "out": (Edge("key_by-1"),)}
    assert plan.operator("window-1").outputs == {"late": (Edge("window-1-late"),), "out": (Edge("sink-2"),)}


def test_two_edges_from_one_stream_to_one_operator_are_two_edges() -> None:
    job = rf.Job("j")
    stream = job.stream("a")
    stream.merge(stream).to("b")
    keyed = stream.key_by(len)
    keyed.merge(keyed, keyed).to("c")
    branches = stream.split(x=len)
    branches["x"].merge(branches.rest, branches["x"]).to("d")
    plan = plan_of(job)
    assert plan.operator("stream-1").outputs["out"][:2] == (Edge("merge-1"), Edge("merge-1"))
    assert plan.operator("key_by-1").outputs == {"out": (Edge("key_by-1.exchange"),)}, "one exchange,"
    assert [exchange.into for exchange in plan.exchanges] == [(Edge("merge-2"),) * 3], "that leads there three times"
    assert plan.operator("split-1").outputs == {"x": (Edge("merge-3"), Edge("merge-3")), "out": (Edge("merge-3"),)}
    assert "by key -> merge-2, merge-2, merge-2" in describe(plan)


def test_an_unused_branch_is_allowed_and_key_by_without_a_reader_needs_no_exchange() -> None:
    job = rf.Job("j")
    stream = job.stream("a")
    stream.to("b")
    stream.key_by(len)
    plan = plan_of(job)
    assert plan.exchanges == ()
    assert plan.operator("key_by-1").outputs == {}


def test_a_job_that_has_no_effect_is_refused() -> None:
    job = rf.Job("j")
    with pytest.raises(InvalidJob, match="reads nothing"):
        plan_of(job)
    job.stream("a").key_by(len).count()
    with pytest.raises(InvalidJob, match=r"test_compile\.py:\d+: nothing leaves the job"):
        plan_of(job)
    job.stream("a").print()
    assert plan_of(job).stages


def test_a_plan_is_made_once_until_the_job_grows() -> None:
    job = rf.Job("j")
    stream = job.stream("a")
    stream.to("b")
    plan = plan_of(job)
    assert plan_of(job) is plan
    stream.to("c")
    assert len(plan_of(job).stages[0].sinks) == 2


def test_naming_an_operator_leaves_the_ids_of_others_alone() -> None:
    def ids(name: str | None) -> list[str]:
        job = rf.Job("j")
        stream = job.stream("a").key_by(len)
        stream.count(name=name).to("b")
        stream.count().to("c")
        return [operator.id for operator in plan_of(job).stages[1].operators if operator.kind == "count"]

    assert ids(None) == ["count-1", "count-2"]
    assert ids("mine") == ["mine", "count-2"]


def test_an_id_that_the_plan_gives_itself_cannot_be_taken() -> None:
    job = rf.Job("j")
    job.stream("a").key_by(len).map(len, name="key_by-1.exchange").to("b")
    with pytest.raises(InvalidJob, match=r"'key_by-1\.exchange' is one that the plan uses"):
        plan_of(job)


class Keeps(rf.ProcessFunction[Any, Any, Any]):
    total = rf.value(0, ttl=timedelta(days=1))
    seen: rf.ListState[int] = rf.list()

    def process(self, value: Any, ctx: rf.Context) -> Iterable[Any]:
        return ()

    def on_timer(self, at: int, ctx: rf.Context) -> Iterable[Any]:
        return ()


def test_states_are_listed_by_operator_and_name() -> None:
    job = rf.Job("j")
    keyed = job.stream("a").key_by(len)
    keyed.process(Keeps).to("b")
    keyed.count().to("c")
    keyed.window(rf.tumbling(minutes=1)).count().to("d")
    keyed.to_table().to("e")
    assert plan_of(job).states() == {
        "process-1/total": StateSpec("total", "value", 86_400_000),
        "process-1/seen": StateSpec("seen", "list"),
        "process-1/timers": StateSpec("timers", "timers"),
        "process-1/timers.processing": StateSpec("timers.processing", "timers"),
        "process-1/timers.ttl": StateSpec("timers.ttl", "expiry"),
        "process-1/timers.ttl-processing": StateSpec("timers.ttl-processing", "expiry"),
        "count-1/values": StateSpec("values", "value", shape="fold"),
        "window-1/windows": StateSpec("windows", "windows", shape="60000 ms every 60000 ms: fold"),
        "to_table-1/values": StateSpec("values", "value", shape="newest"),
    }


STEPS = ("map", "filter", "key_by", "count", "window", "merge", "split", "to", "dead", "again", "group")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1000), st.integers(0, 1000)), max_size=25))
@settings(max_examples=200, deadline=None)
def test_any_job_compiles_to_a_plan_that_holds_together_or_names_its_merge(steps: list[tuple[str, int, int]]) -> None:
    job = rf.Job("random")
    streams: list[Any] = [job.stream("a"), job.stream("b")]
    for step, first, second in steps:
        stream, other = streams[first % len(streams)], streams[second % len(streams)]
        if step == "map":
            streams.append(stream.map(len))
        elif step == "filter":
            streams.append(stream.filter(len))
        elif step == "key_by":
            streams.append(stream.key_by(len))
        elif step == "count":
            streams.append(stream.key_by(len).count().changes())
        elif step == "window":
            streams.append(stream.key_by(len).window(rf.tumbling(minutes=1)).late_to("late").count())
        elif step == "merge":
            streams.append(stream.merge(other))
        elif step == "split":
            streams.extend(stream.split(x=len, y=len).values())
        elif step == "to":
            stream.to("out")
        elif step == "dead":
            streams.append(stream.map(len, on_error=rf.dead_letter("dead")))
        elif step == "again":
            streams.append(job.stream("ab"[first % 2]))
        elif stream._flow.rekeyed is None:
            streams.append(stream.group_by_key().count().changes())
    streams[0].to("out")
    try:
        plan = plan_of(job)
    except InvalidJob as error:
        if "merge() joins" not in error.what:
            raise
        return
    validate(plan)
    assert sum(len(stage.operators) for stage in plan.stages) >= len(job.graph.nodes)


def test_a_plan_that_does_not_hold_together_is_found_out() -> None:
    from dataclasses import replace

    job = rf.Job("j")
    job.stream("a", on_error=rf.dead_letter("d")).key_by(len).count().to("b")
    plan = plan_of(job)
    first, second = plan.stages
    mapped = first.operators[0]
    for what, broken in (
        ("comes before a stage", replace(plan, stages=(second, first))),
        ("have one id", replace(plan, stages=(first, first))),
        ("inputs of stage s2", replace(plan, stages=(first, replace(second, inputs=())))),
        ("outputs of stage s1", replace(plan, stages=(replace(first, outputs=()), second))),
        ("does not list its sinks", replace(plan, stages=(first, replace(second, sinks=())))),
        ("entered at an operator", replace(plan, stages=(replace(first, operators=first.operators[1:]), second))),
        (
            "nowhere to send dead letters",
            replace(
                plan,
                stages=(
                    replace(
                        first, operators=(replace(mapped, outputs={"out": (Edge("key_by-1"),)}), *first.operators[1:])
                    ),
                    second,
                ),
            ),
        ),
        (
            "is not behind it",
            replace(
                plan, stages=(replace(first, operators=(first.operators[1], mapped, *first.operators[2:])), second)
            ),
        ),
    ):
        with pytest.raises(InvariantBroken, match=what):
            validate(broken)
