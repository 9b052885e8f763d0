"""`ModelKafka` and `ModelReader` against a real broker: the same scripts, the same observer."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest

from tests.kafka.client import Kafka
from tests.simulation.conformance.comparing import in_parallel
from tests.simulation.conformance.model_broker import ModelBroker
from tests.simulation.conformance.reading import PARTITIONS
from tests.simulation.conformance.real_broker import RealBroker
from tests.simulation.conformance.script import (
    Abort,
    Append,
    Begin,
    Commit,
    Forget,
    Init,
    Offsets,
    Operation,
    Produce,
    Script,
    SetOffset,
    TimePasses,
    draw_script,
    play,
    read_from_many_positions,
)

OPEN: tuple[Operation, ...] = (
    Init("a", "x"),
    Begin("a"),
    Produce("a", 0, 2),
    Produce("a", 1, 1),
    Offsets("a", "job-markers", 0, 3),
)

SCRIPTS: dict[str, list[Operation]] = {
    "records and offsets of a transaction show once it is committed, and its end takes a position": [
        *OPEN, Commit("a"), Begin("a"), Produce("a", 0, 1), Commit("a"),
    ],
    "nothing of an aborted transaction shows, but its positions are gone": [*OPEN, Abort("a"), Append(0, 2)],
    "an open transaction holds readers back, and whatever was written behind it": [
        *OPEN, Append(0, 2), Init("b", "y"), Begin("b"), Produce("b", 0, 1), Offsets("b", "job-markers", 1, 4),
        Commit("b"), Append(1, 1), Commit("a"),
    ],
    "a dead producer's transaction blocks until its id comes back": [
        *OPEN, Append(0, 1), Init("b", "y"), Append(1, 1), Init("a again", "x"),
    ],
    "a new producer ends what an older one has begun": [
        *OPEN, Init("b", "x"), Begin("b"), Produce("b", 0, 1), Commit("b"),
    ],
    "a fenced producer cannot begin anew": [*OPEN, Commit("a"), Init("b", "x"), Begin("a"), Produce("a", 0, 1)],
    "a fenced producer cannot produce": [*OPEN, Init("b", "x"), Produce("a", 0, 1)],
    "a fenced producer cannot produce elsewhere": [
        Init("a", "x"), Begin("a"), Produce("a", 0, 1), Init("b", "x"), Produce("a", 1, 1),
    ],
    "a fenced producer cannot add offsets": [*OPEN, Init("b", "x"), Offsets("a", "job-markers", 0, 9)],
    "a fenced producer cannot add offsets to another group": [*OPEN, Init("b", "x"), Offsets("a", "job", 0, 9)],
    "a fenced producer cannot commit": [*OPEN, Init("b", "x"), Commit("a")],
    "a fenced producer cannot abort": [*OPEN, Init("b", "x"), Begin("b"), Produce("b", 0, 1), Abort("a"), Commit("b")],
    "a fenced producer may commit nothing: the broker never hears of it": [
        Init("a", "x"), Init("b", "x"), Begin("a"), Commit("a"), Begin("a"), Abort("a"), Begin("a"), Produce("a", 0, 1),
    ],
    "of two transactions that set one offset the one written later stays, whichever is committed last": [
        Init("a", "x"), Init("b", "y"), Begin("a"), Begin("b"), Offsets("a", "job", 0, 5), Offsets("b", "job", 0, 6),
        Commit("b"), Commit("a"),
    ],
    "an offset that a tool sets meanwhile stays": [
        Init("a", "x"), Begin("a"), Offsets("a", "job", 0, 5), SetOffset("job", 0, 99), Commit("a"),
    ],
    "the later of two offsets in one transaction counts": [
        Init("a", "x"), Begin("a"), Offsets("a", "job", 0, 9), Offsets("a", "job", 0, 8), Commit("a"),
    ],
    "an undecided transaction hides older offsets of its partitions only": [
        *OPEN, Offsets("a", "job-markers", 1, 7), Commit("a"), Begin("a"), Offsets("a", "job-markers", 1, 8),
        Abort("a"),
    ],
    "a transaction that grows too old is ended by the broker, and its producer is fenced": [
        *OPEN, TimePasses(), Commit("a"), Init("b", "x"), Begin("b"), Produce("b", 0, 1), Commit("b"),
    ],
    "what a broker has forgotten can be set again": [
        *OPEN, Offsets("a", "job", 0, 1), Commit("a"), Forget("job-markers"), Begin("a"),
        Offsets("a", "job-markers", 0, 4), Commit("a"),
    ],
}  # fmt: skip

DRAWN = 24
"""Scripts that are drawn, each from its own seed."""

LENGTH = 30
"""Operations of each."""


def compare(kafka: Kafka, seed: int, script: Script) -> None:
    """Play a script on both brokers, then read both."""
    timeout = 5_000 if TimePasses() in script else 60_000
    model, real = ModelBroker(seed), RealBroker(kafka, timeout)
    play(script, model, real)
    read_from_many_positions(Random(seed), model, real)


def test_what_an_observer_sees_is_the_same_after_each_operation(kafka: Kafka) -> None:
    in_parallel({name: partial(compare, kafka, 0, script) for name, script in SCRIPTS.items()})


@pytest.mark.parametrize("part", range(2))
def test_drawn_scripts_look_the_same(kafka: Kafka, part: int) -> None:
    seeds = range(part * DRAWN // 2, (part + 1) * DRAWN // 2)
    in_parallel({f"seed {seed}": partial(compare, kafka, seed, draw_script(Random(seed), LENGTH)) for seed in seeds})


def test_a_partition_that_is_not_there_cannot_be_assigned(kafka: Kafka) -> None:
    model, real = ModelBroker(0), RealBroker(kafka, 60_000)
    scripts: list[dict[int, int | None]] = [{PARTITIONS: None}, {0: None, PARTITIONS: 0}, {0: 0}]
    told = [(real.assign(positions), model.assign(positions)) for positions in scripts]
    assert told == [("UnknownTopic", "UnknownTopic")] * 2 + [("done", "done")]


def test_a_model_reader_cannot_be_assigned_while_the_broker_is_away() -> None:
    """Nor can the real one: see tests/connectors/kafka/test_outage.py."""
    model = ModelBroker(0)
    model.kafka.away = True
    assert model.assign({0: None}) == "BrokerUnavailable"
