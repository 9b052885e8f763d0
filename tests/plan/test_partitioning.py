"""How streams are spread over tasks, and what is done where streams meet that are spread differently."""

from __future__ import annotations

from typing import Any

import rayflow as rf
from rayflow.core.topics import ConnectorSpec, TopicRef
from rayflow.plan.compile import plan_of
from rayflow.plan.describe import describe
from rayflow.plan.partitioning import BY_EXCHANGE, of_all, of_topic
from rayflow.plan.physical import Edge, JobPlan
from rayflow.serde import json, text
from rayflow.testing import Driver
from tests.operators.probes import MeetSpec, meeting

KEYS = [f"key{i}" for i in range(12)]


def partitioning(plan: JobPlan) -> dict[str, str]:
    return {o.id: str(o.partitioning) for stage in plan.stages for o in stage.operators}


def exchanges(plan: JobPlan) -> dict[str, tuple[Edge, ...]]:
    return {exchange.id: exchange.into for exchange in plan.exchanges}


def test_topics_of_one_hash_and_one_key_serde_are_partitioned_alike() -> None:
    mine = of_topic(TopicRef("a"), text)
    assert of_topic(TopicRef("b", ConnectorSpec("kafka://eu:9092")), text) == mine
    assert of_topic(TopicRef("b", ConnectorSpec("embedded:log")), text) == mine
    assert of_topic(TopicRef("b"), json) != mine
    assert of_topic(TopicRef("b", ConnectorSpec("jsonl:")), text) != mine


def test_streams_that_become_one_are_partitioned_as_they_were_only_if_alike() -> None:
    mine, other = of_topic(TopicRef("a"), text), of_topic(TopicRef("a"), json)
    assert of_all([mine, mine]) == mine
    assert (of_all([mine, other]).by, of_all([mine, other]).scheme) == ("mixed", "murmur2 of text and murmur2 of json")
    assert of_all([mine, BY_EXCHANGE]).by == "mixed"
    assert of_all([of_all([mine, other])]).by == "mixed"


def test_every_stream_has_a_partitioning() -> None:
    job = rf.Job("j")
    orders = job.stream("orders", key=str)
    orders.map(len).group_by_key().filter(bool).count().to("counts")
    orders.key_by(len).window(rf.tumbling(minutes=1)).count().to("windows")
    assert partitioning(plan_of(job)) == {
        **dict.fromkeys(
            ("stream-1", "map-1", "group_by_key-1", "filter-1", "count-1", "sink-1"), "topic: murmur2 of text"
        ),
        **dict.fromkeys(("key_by-1", "window-1", "sink-2"), "exchange: hash of the key"),
    }


def test_topics_that_are_alike_are_read_side_by_side() -> None:
    job = rf.Job("j")
    job.stream("a", key=str).merge(job.stream("b", key=str)).group_by_key().count().to("counts")
    plan = plan_of(job)
    assert (len(plan.stages), plan.exchanges, plan.stages[0].keyed_by_source) == (1, (), True)


def merged() -> rf.Job:
    job = rf.Job("j")
    both = job.stream("a", key=str).merge(job.stream("b", key=rf.json)).group_by_key()
    both.count(emit="record").to("counts", key=str)
    both.filter(lambda value: True).to_table(emit="record").to("newest", key=str)
    return job


def test_topics_that_are_not_alike_are_exchanged_behind_group_by_key_once_for_all() -> None:
    plan = plan_of(merged())
    assert exchanges(plan) == {
        "group_by_key-1.exchange": (Edge("count-1"),),
        "filter-1.exchange": (Edge("to_table-1"),),
    }
    assert not any(stage.keyed_by_source for stage in plan.stages)
    why = "by key (to bring together murmur2 of text and murmur2 of json)"
    assert f"exchange group_by_key-1.exchange: s1 to s2, {why} -> count-1" in describe(plan)


def test_a_key_that_two_topics_put_in_different_partitions_meets_in_one_task() -> None:
    with Driver(merged(), partitions=3) as d:
        for key in KEYS:
            d.send("a", 1, key=key)
            d.send("b", 2, key=key)
        counts = {record.key: record.value for record in d.records("counts")}
        assert counts == dict.fromkeys(KEYS, 2)
        assert {record.key: record.value for record in d.records("newest")} == dict.fromkeys(KEYS, 2)


def joined(left: Any, right: Any) -> Any:
    return meeting(left, right, MeetSpec(), "meet")


def test_where_a_stream_meets_an_exchanged_one_it_is_exchanged_as_well() -> None:
    job = rf.Job("j")
    a, b = job.stream("a", key=str, value=str), job.stream("b", key=str)
    joined(a.key_by(lambda key: key), b.group_by_key()).to("out", key=str, value=rf.json)
    plan = plan_of(job)
    assert exchanges(plan) == {
        "key_by-1.exchange": (Edge("meet", "left"),),
        "group_by_key-1.exchange": (Edge("meet", "right"),),
    }
    assert partitioning(plan)["meet"] == "exchange: hash of the key"
    with Driver(job, partitions=3) as d:
        for key in KEYS:
            d.send("a", key)
            d.send("b", 1, key=key)
        newest = {record.key: record.value for record in d.records("out")}
        assert newest == {key: [1, 1] for key in KEYS}


def test_streams_that_are_alike_meet_without_an_exchange() -> None:
    job = rf.Job("j")
    joined(job.stream("a", key=str).group_by_key(), job.stream("b", key=str).group_by_key()).to("out", key=str)
    plan = plan_of(job)
    assert (len(plan.stages), plan.exchanges) == (1, ())
    exchanged = rf.Job("j")
    one, other = exchanged.stream("a", key=str).key_by(len), exchanged.stream("b").key_by(len)
    joined(one, other).to("out")
    assert list(exchanges(plan_of(exchanged))) == ["key_by-1.exchange", "key_by-2.exchange"]


def test_branches_of_a_split_that_are_exchanged_have_an_exchange_each() -> None:
    job = rf.Job("j")
    a, b = job.stream("a", key=str), job.stream("b", key=str)
    parts = b.group_by_key().split(small=lambda n: n < 3, large=lambda n: n < 9)
    keyed = a.key_by(lambda value: value)
    meeting(keyed, parts["small"], MeetSpec(), "small").to("x")
    meeting(keyed, parts["large"], MeetSpec(), "large").to("y")
    plan = plan_of(job)
    assert exchanges(plan) == {
        "key_by-1.exchange": (Edge("small", "left"), Edge("large", "left")),
        "split-1.small.exchange": (Edge("small", "right"),),
        "split-1.large.exchange": (Edge("large", "right"),),
    }


def test_one_stream_may_go_both_ways() -> None:
    """Directly to what reads it side by side, and through an exchange to where it meets an exchanged one."""
    job = rf.Job("j")
    b = job.stream("b", key=str).group_by_key()
    b.count(emit="record").to("counts", key=str)
    joined(job.stream("a", value=str).key_by(lambda key: key), b).to("out", key=str, value=rf.json)
    plan = plan_of(job)
    assert plan.operator("group_by_key-1").outputs == {"out": (Edge("count-1"), Edge("group_by_key-1.exchange"))}
    with Driver(job, partitions=3) as d:
        for key in KEYS:
            d.send("b", 1, key=key)
        assert d.read("counts") == [1] * len(KEYS)
        assert d.read("out") == [[0, 1]] * len(KEYS)
