"""A job file, unchanged, gives the same output on the embedded log and on Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rayflow.plan.load import load_job
from tests.e2e.brokers import Broker, Record
from tests.e2e.running import run
from tests.kafka.broker import Broker as KafkaBroker

HERE = Path(__file__).parent
JOBS = HERE.parents[1] / "jobs"
START = 1_767_225_600_000
PARTITIONS = 3

Input = list[tuple[str | None, Any, int]]
Output = dict[tuple[int, bytes | None], list[Record]]


@pytest.fixture
def brokers(own_kafka: KafkaBroker, tmp_path: Path) -> Iterator[list[Broker]]:
    """Both brokers, where topics are called as the job files call them."""
    both = [Broker(f"embedded:{tmp_path / 'log'}", tag=""), Broker(own_kafka.url, tag="")]
    yield both
    for broker in both:
        broker.close()


def outputs(file: Path, brokers: list[Broker], state: Path, given: Input, topics: dict[str, list[str]]) -> list[Output]:
    """What the job writes on each broker, in two runs with half of the input each; by topic and key, in order."""
    ((source, sinks),) = topics.items()
    found = []
    for number, broker in enumerate(brokers):
        broker.create(source, PARTITIONS)
        half = len(given) // 2
        for part in (given[:half], given[half:]):
            broker.append(source, part)
            run(load_job(str(file)), broker, state / str(number), checkpoint_interval=INTERVALS[file.stem])
        output: dict[Any, list[Record]] = defaultdict(list)
        for sink in sinks:
            for record in broker.read(sink):
                output[sink, record.partition, record.key].append(record)
        found.append(dict(output))
    return found


INTERVALS = {"stateless_job": 50, "revenue": 50, "fraud": 50, "wordcount": 3_600_000}
"""ms; the word counts are those at the end of each epoch, so there must be one epoch in each run."""


def orders() -> Input:
    """Of which one key stays in one partition; prices in quarters, so that sums do not depend on their order."""
    random = Random(7)
    given: Input = []
    for number in range(3_000):
        user = f"user-{random.randrange(40):03}"
        ts = START + 60 * number + random.randrange(-2_000, 2_000)
        order = {"id": number, "user": user, "price": random.randrange(0, 400) / 4, "qty": random.randrange(1, 4)}
        given.append((user, {**order, "items": random.sample(["tea", "milk", "salt"], 2), "ts": ts}, ts))
    return given


def payments() -> Input:
    random = Random(8)
    given: Input = []
    for number in range(2_000):
        card = f"card-{random.randrange(50):04}"
        ts = START + 300 * number
        amount = random.choice([0.5, 20.0, 900.0])
        given.append((card, {"card": card, "amount": amount, "ts": ts}, ts))
    return given


def lines() -> Input:
    random = Random(9)
    words = ["fox", "dog", "lazy", "quick", "the"]
    return [(None, " ".join(random.choices(words, k=6)), START + number) for number in range(1_000)]


@pytest.mark.parametrize(
    ("file", "given", "topics", "least"),
    [
        (HERE / "stateless_job.py", orders, {"shop-orders": ["shop-items", "shop-large", "shop-small"]}, 8_000),
        (JOBS / "revenue.py", orders, {"orders": ["revenue-per-minute"]}, 100),
        (JOBS / "fraud.py", payments, {"payments": ["alerts"]}, 100),
        (JOBS / "wordcount.py", lines, {"lines": ["word-counts"]}, 10),
    ],
    ids=["stateless", "windows", "timers", "two-stages"],
)
def test_the_output_is_the_same_record_for_record(
    brokers: list[Broker], state: Path, file: Path, given: Any, topics: dict[str, list[str]], least: int
) -> None:
    embedded, kafka = outputs(file, brokers, state, given(), topics)
    assert sum(map(len, embedded.values())) >= least
    assert embedded.keys() == kafka.keys()
    for place, records in embedded.items():
        assert records == kafka[place], place
