"""How many partitions each stage of a job has."""

from __future__ import annotations

import pytest

import rayflow as rf
from rayflow.core.errors import PartitionsChanged
from rayflow.engine.topology import resolve
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan


def merged() -> JobPlan:
    """Two sources whose records are counted by another key, in the stage behind an exchange."""
    job = rf.Job("job")
    both = job.stream("narrow", value=str).merge(job.stream("wide", value=str))
    both.key_by(lambda word: word).count(name="counts").to("out")
    return plan_of(job)


@pytest.mark.parametrize("narrow_first", [True, False])
def test_a_stage_has_as_many_partitions_as_its_widest_source_and_those_behind_it_follow(narrow_first: bool) -> None:
    sources = {"narrow": 2, "wide": 5} if narrow_first else {"wide": 5, "narrow": 2}
    assert resolve(merged(), sources).stages == {"s1": 5, "s2": 5}


def test_the_stage_behind_an_exchange_keeps_its_number_when_the_sources_grow() -> None:
    assert resolve(merged(), {"narrow": 2, "wide": 5}, {"s2": 3}).stages == {"s1": 5, "s2": 3}


@pytest.mark.parametrize(("now", "refused"), [(2, "has 2 partitions, but"), (3, ""), (4, "has 4 partitions now")])
def test_state_that_is_keyed_by_the_topics_own_partitions_needs_them_as_they_were(now: int, refused: str) -> None:
    job = rf.Job("job")
    job.stream("in", key=str, value=str).group_by_key().count(name="counts").to("out")
    plan = plan_of(job)
    if refused:
        with pytest.raises(PartitionsChanged, match=refused):
            resolve(plan, {"in": now}, {"s1": 3})
    else:
        assert resolve(plan, {"in": now}, {"s1": 3}).stages == {"s1": 3}


def test_new_partitions_of_state_that_is_keyed_by_the_topic_can_be_allowed_but_fewer_cannot() -> None:
    job = rf.Job("job")
    job.stream("in", key=str, value=str).group_by_key().count(name="counts").to("out")
    plan = plan_of(job)
    assert resolve(plan, {"in": 4}, {"s1": 3}, allow_new_partitions=True).stages == {"s1": 4}
    with pytest.raises(PartitionsChanged):
        resolve(plan, {"in": 2}, {"s1": 3}, allow_new_partitions=True)


def test_a_stage_takes_a_source_beside_its_exchange_only_while_it_is_as_wide() -> None:
    job = rf.Job("job")
    counts = job.stream("a", value=str).key_by(lambda word: word).count(name="counts").changes()
    counts.merge(job.stream("b")).to("out")
    plan = plan_of(job)
    assert resolve(plan, {"a": 2, "b": 3}).stages == {"s1": 2, "s2": 3}
    with pytest.raises(PartitionsChanged, match="a source has 4 partitions"):
        resolve(plan, {"a": 2, "b": 4}, {"s2": 3})
