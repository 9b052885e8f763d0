"""`ModelPublisher` against Kafka's publisher: the same acts, through the contract that both keep."""

from __future__ import annotations

import subprocess
from functools import partial
from random import Random

import pytest

from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import Marker
from rayflow.testing.simulation.faults import Faults
from tests.connectors.kafka.stepping import TASK, epoch
from tests.connectors.kafka.test_crash import start
from tests.kafka.client import Kafka, until
from tests.simulation.conformance.comparing import await_same, in_parallel
from tests.simulation.conformance.publishing import (
    Act,
    Close,
    GoOn,
    KafkaPublishers,
    ModelPublishers,
    Open,
    Publish,
    draw_acts,
)

ACTS: dict[str, list[Act]] = {
    "an epoch shows with its markers and positions, and a later publisher is told them": [
        Open("a", 0), Publish("a", 1), Publish("a", 2), Open("b", 0), Open("c", 1), Publish("c", 2),
    ],
    "a publisher opened earlier is fenced, wherever it stands, and must be opened again": [
        Open("a", 0), Open("b", 0), Publish("a", 1), Publish("a", 1), Publish("b", 1),
    ],
    **{
        f"one that stands at {step} while another takes over is fenced": [
            Open("a", 0), Publish("a", 1), Publish("a", 2, step), Open("b", 0), GoOn("a"), Publish("b", 2),
        ]
        for step in ("begun", "produced", "marked", "positioned")
    },
    "what is left in the middle is undone by the next publish": [
        Open("a", 0), Publish("a", 1, "positioned"), Publish("a", 2), Publish("a", 3, "produced"),
        Publish("a", 4, "begun"), GoOn("a"),
    ],
    "what is left in the middle is undone by closing": [
        Open("a", 0), Publish("a", 1, "marked"), Close("a"), Open("b", 0), Publish("b", 1),
    ],
    "two slots publish beside each other, and readers wait for the first": [
        Open("a", 0), Open("b", 1), Publish("a", 1, "positioned"), Publish("b", 1), GoOn("a"),
    ],
    "an unknown topic leaves nothing open": [
        Open("a", 0), Publish("a", 1, topic="not-there"), Publish("a", 1), Open("b", 0), Publish("b", 1),
    ],
}  # fmt: skip

DRAWN = 12
LENGTH = 18


def compare(kafka: Kafka, seed: int, acts: list[Act]) -> None:
    """Do the same with both; raises AssertionError at the first difference."""
    model, real = ModelPublishers(seed), KafkaPublishers(kafka)
    for number, act in enumerate(acts):
        told = f"at {number}, {act} of {acts}"
        before = model.observe()
        expected, found = model.do(act), real.do(act)
        if expected == "Fenced" and isinstance(act, Publish) and found == act.pause:
            found = real.do(GoOn(act.name))  # records go out beside the steps: it is told by the commit at the latest
        assert found == expected, f"{found}, in the model {expected} {told}"
        await_same(real.observe, before, model.observe(), told)
    assert real.read() == model.read()
    real.close()


def test_publishers_tell_and_show_the_same(kafka: Kafka) -> None:
    in_parallel({name: partial(compare, kafka, 0, acts) for name, acts in ACTS.items()})


def test_drawn_acts_of_publishers_tell_and_show_the_same(kafka: Kafka) -> None:
    in_parallel(
        {f"seed {seed}": partial(compare, kafka, seed, draw_acts(Random(seed), LENGTH)) for seed in range(DRAWN)}
    )


Outcome = tuple[int, tuple[bytes | None, ...]]
"""The epoch of the marker that a new publisher finds, and the values that readers see."""


def in_the_model(seed: int) -> Outcome:
    """A publisher dies some time after it has asked for the commit of epoch 2; another one looks."""
    publishers = ModelPublishers(seed)
    first = publishers.publisher(0)
    first.open([TASK])
    for _ in first.publish(Marker("l", 1), {TASK: published(1)}, {}):
        publishers.tick()
    for step in first.publish(Marker("l", 2), {TASK: published(2)}, {}):
        if step == "committing":
            break
        publishers.tick()
    for _ in range(publishers.schedule.random.randrange(4)):
        publishers.tick()
    held = publishers.open_when_possible(publishers.publisher(0), [TASK])[TASK]
    while publishers.kafka.settling():
        publishers.tick()
    assert held is not None
    return held.epoch, tuple(entry.value for _, entry in publishers.kafka.committed("topic"))


def published(number: int) -> list[EncodedBatch]:
    """An epoch as the real publisher's process publishes it, to the model's topic."""
    return [EncodedBatch("topic", one.keys, one.values, one.timestamps) for one in epoch("topic", number)]


def test_a_commit_that_nobody_hears_of_is_there_with_its_marker_or_not_at_all(kafka: Kafka) -> None:
    """The real publisher's process is killed at once, or some ms after it has asked for the commit."""
    possible = {in_the_model(seed) for seed in range(60)}
    assert {held for held, _ in possible} == {1, 2}
    killed: list[tuple[KafkaPublishers, subprocess.Popen[str]]] = []
    for delay in ("0", "1", "3", "6"):
        real = KafkaPublishers(kafka)
        killed.append((real, start(kafka, real.job, real.topic, "committing", "kill", delay)))
    for real, process in killed:
        process.communicate(timeout=120)
        held = real.publisher(0).open([TASK])[TASK]
        assert held is not None
        until(lambda real=real: not kafka.open_transactions(real.topic))  # type: ignore[misc]
        assert (held.epoch, tuple(kafka.values(real.topic))) in possible
        real.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_model_publisher_whose_commits_are_never_answered_publishes_once(seed: int) -> None:
    """The real one does so in tests/connectors/kafka/test_outage.py."""
    deaf = ModelPublishers(seed, Faults(commit_answer_lost=0.7))
    told = [deaf.do(Open("a", 0)), *(deaf.do(Publish("a", number)) for number in range(1, 6))]
    heard = ModelPublishers(seed)
    assert told == [heard.do(Open("a", 0)), *(heard.do(Publish("a", number)) for number in range(1, 6))]
    deaf_read, heard_read = deaf.read(), heard.read()
    assert isinstance(deaf_read, dict)
    assert isinstance(heard_read, dict)
    for p, (records, _) in heard_read.items():
        assert [record[1:] for record in deaf_read[p][0]] == [record[1:] for record in records]
