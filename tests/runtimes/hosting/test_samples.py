"""Sample data becomes a topic of the embedded log, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

import rayflow as rf
from rayflow.core.errors import EncodeFailed
from rayflow.core.topics import TopicRef
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.samples import write_samples
from rayflow.runtimes.machine.connectors import OpenConnectors


def reading(sample: list[object]) -> JobPlan:
    job = rf.Job("sampled")
    job.stream("in", value=str, sample=sample).to("out")
    return plan_of(job)


def topics(folder: Path, sample: list[object]) -> list[str]:
    connectors = OpenConnectors.of_run(RunOptions(broker=f"embedded:{folder / 'log'}", state=folder))
    try:
        write_samples(reading(sample), connectors)
    finally:
        names = [each.name for each in connectors.of(TopicRef("in")).topics()]  # type: ignore[attr-defined]
        connectors.close()
        print(names)
    return names


def test_a_topic_that_does_not_exist_gets_the_sample(tmp_path: Path) -> None:
    assert topics(tmp_path, ["a", "b"]) == ["in"]


def test_a_value_that_cannot_be_encoded_leaves_no_topic_behind(tmp_path: Path) -> None:
    with pytest.raises(EncodeFailed):
        topics(tmp_path, ["a", 3])
    assert topics(tmp_path, ["a"]) == ["in"]
