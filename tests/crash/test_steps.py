"""The names of the steps: a crash test at a step that does not come must fail, and not pass without a crash."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.connectors.steps import FLUSHING
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.steps import STEPS, flush
from rayflow.runtimes.local.runtime import LocalRuntime
from tests.crash.campaign import Campaign
from tests.crash.steps import AT_FIRST, IN_RECOVERY, ONCE, TAKEN, half, in_turn
from tests.e2e.running import crash_at


def test_the_steps_of_a_run_are_all_known(tmp_path: Path) -> None:
    job = rf.Job("copy")
    job.stream("in", value=str, sample=["a", "b"]).to("out")
    told: set[str] = set()
    LocalRuntime(plan_of(job), RunOptions(state=tmp_path, until_end=True), on_step=told.add).run()
    assert told <= STEPS
    assert len(told) > len(STEPS) / 2


def test_a_crash_at_a_step_that_there_is_not_is_refused(tmp_path: Path) -> None:
    campaign = Campaign("one-stage", f"embedded:{tmp_path / 'log'}", tmp_path, 0)
    with pytest.raises(AssertionError, match="there is no step"):
        campaign.start(("segment writen", 1))
    with pytest.raises(AssertionError, match="there is no step"):
        crash_at("segment writen")


def test_a_campaign_names_the_steps_at_which_nobody_died(tmp_path: Path) -> None:
    campaign = Campaign("one-stage", f"embedded:{tmp_path / 'log'}", tmp_path, 0)
    with pytest.raises(AssertionError, match=r"no victim came to \['flush flushing'\]"):
        campaign.kill_at_steps([flush(FLUSHING)])


def test_every_step_has_its_turn() -> None:
    assert {*half(0), *half(1)} == TAKEN
    assert TAKEN >= ONCE >= {*AT_FIRST, *IN_RECOVERY}
    steps = in_turn(3 * len(TAKEN) + 5, random.Random(0))
    assert set(steps) == TAKEN
    assert {steps.count(step) for step in TAKEN} == {3, 4}
