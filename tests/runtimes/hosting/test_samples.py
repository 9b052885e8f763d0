"""Sample data becomes a topic of the embedded log, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rayflow as rf
from rayflow.core.errors import EncodeFailed, UserFunctionFailed
from rayflow.core.topics import TopicRef
from rayflow.plan.compile import plan_of
from rayflow.plan.physical import JobPlan
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.samples import write_samples
from rayflow.runtimes.machine.connectors import OpenConnectors


def reading(sample: list[object], **options: Any) -> JobPlan:
    job = rf.Job("sampled")
    job.stream("in", **{"value": str, "sample": sample, **options}).to("out")
    return plan_of(job)


def topics(folder: Path, sample: list[object], **options: Any) -> list[str]:
    connectors = OpenConnectors.of_run(RunOptions(broker=f"embedded:{folder / 'log'}", state=folder))
    try:
        write_samples(reading(sample, **options), connectors)
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


@pytest.mark.parametrize(
    ("time", "what"),
    [
        (1.5, "the sample data: timestamp= gave a float, not an int"),
        ("2024-01-01", "the sample data: timestamp= gave a str, not an int"),
        (None, "the sample data: timestamp= gave a NoneType, not an int"),
        (-1, "the sample data: timestamp= gave a time before 1970"),
        (1_700_000_000_000_000_000, "the sample data: timestamp= gave a time beyond the year 9999"),
    ],
)
def test_a_time_that_is_none_leaves_no_topic_behind(tmp_path: Path, time: Any, what: str) -> None:
    with pytest.raises(UserFunctionFailed, match=what) as caught:
        topics(tmp_path, [{"ts": 5}, {"ts": time}], value=dict, timestamp=lambda v: v["ts"])
    assert caught.value.topic == "in"
    with pytest.raises(UserFunctionFailed, match=r"timestamp= failed for the sample data: KeyError"):
        topics(tmp_path, [{}], value=dict, timestamp=lambda v: v["ts"])
    assert topics(tmp_path, ["a"]) == ["in"]


class Text(rf.Serde[str]):
    """Forgets to encode."""

    name = "forgetful"

    def decode_one(self, data: bytes) -> str:
        return data.decode()

    def encode_one(self, value: str) -> bytes:
        return value  # type: ignore[return-value]


def test_a_serde_that_does_not_give_bytes_leaves_no_topic_behind(tmp_path: Path) -> None:
    with pytest.raises(EncodeFailed, match="A record's value is a str"):
        topics(tmp_path, ["a"], value=Text())
    assert topics(tmp_path, ["a"]) == ["in"]
