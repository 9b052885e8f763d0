"""Publishing processes that are killed, or come back after another has taken over."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.core.ids import Marker
from tests.connectors.kafka.stepping import TASK, epoch
from tests.kafka.client import Kafka

pytestmark = pytest.mark.xdist_group("kafka_crash")

ROOT = Path(__file__).parents[3]
STEPS = ["begun", "produced", "marked", "positioned", "committing", "committed"]
MOMENTS = [(step, 0) for step in STEPS] + [("committing", delay) for delay in (1, 3, 6, 10)]
"""Where a process is killed: at a step, or so many ms after it."""

Crashed = dict[tuple[str, int], tuple[str, str]]


def start(kafka: Kafka, job: str, topic: str, *how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.connectors.kafka.stepping", kafka.url, job, topic, *how]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def crashed(kafka: Kafka) -> Crashed:
    """For each moment, the job and the topic of a process that was killed then (all at once, for speed)."""
    found: Crashed = {}
    processes = []
    for step, delay in MOMENTS:
        job, topic = f"job-{uuid.uuid4().hex[:12]}", kafka.create()
        found[step, delay] = (job, topic)
        processes.append(start(kafka, job, topic, step, "kill", str(delay)))
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == -9
    return found


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0]}+{moment[1]}ms")
def test_after_a_kill_each_epoch_is_there_once_and_nothing_is_undecided(
    kafka: Kafka, crashed: Crashed, moment: tuple[str, int]
) -> None:
    job, topic = crashed[moment]
    connector = KafkaConnector(kafka.url, {}, {})
    publisher = connector.publisher(job, 0, "exactly_once")
    held = publisher.open([TASK])[TASK]
    assert not kafka.open_transactions(topic)
    first, second = (batch.values for number in (1, 2) for batch in epoch(topic, number))
    if held == Marker("l", 1):
        assert moment[0] != "committed"
        assert kafka.values(topic) == first
        list(publisher.publish(Marker("l", 2), {TASK: epoch(topic, 2)}, {}))
    else:
        assert held == Marker("l", 2)
        assert moment[0] in ("committing", "committed")
    publisher.close()
    connector.close()
    assert kafka.values(topic) == first + second
    assert not kafka.open_transactions(topic)


@pytest.mark.parametrize("step", ["begun", "marked", "committing"])
def test_a_process_that_comes_back_after_another_took_over_is_fenced(kafka: Kafka, step: str) -> None:
    job, topic = f"job-{uuid.uuid4().hex[:12]}", kafka.create()
    zombie = start(kafka, job, topic, step, "wait")
    assert zombie.stdout is not None
    assert zombie.stdout.readline() == "there\n"
    connector = KafkaConnector(kafka.url, {}, {})
    publisher = connector.publisher(job, 0, "exactly_once")
    assert publisher.open([TASK]) == {TASK: Marker("l", 1)}
    said, _ = zombie.communicate("go on\n", timeout=60)
    assert said == "Fenced\n"
    first, second = (batch.values for number in (1, 2) for batch in epoch(topic, number))
    assert kafka.values(topic) == first
    list(publisher.publish(Marker("l", 2), {TASK: epoch(topic, 2)}, {}))
    publisher.close()
    connector.close()
    assert kafka.values(topic) == first + second
    assert not kafka.open_transactions(topic)
