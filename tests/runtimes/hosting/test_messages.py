"""A driver refuses a message that it does not know; ignored, it would be lost without a trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.checkpoint.open import open_store
from rayflow.core.errors import InvariantBroken
from rayflow.engine.events import EpochApplied
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.messages import Settled, Started
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.local.attempt import SLOT, LocalAttempt
from rayflow.runtimes.machine.connectors import OpenConnectors
from rayflow.runtimes.machine.ports import machine_ports
from rayflow.state.memory_store import MemoryStore
from tests.e2e.brokers import Broker


@pytest.fixture
def running(tmp_path: Path) -> Iterator[LocalAttempt]:
    """An attempt that processes records."""
    url = f"embedded:{tmp_path / 'log'}"
    broker = Broker(url, tag="")
    broker.create("words")
    job = rf.Job("copying")
    job.stream("words", key=str, value=str).to("copies")
    options = RunOptions(broker=url, state=tmp_path)
    connectors = OpenConnectors.of_run(options)
    store = open_store(options.checkpoint_store("copying"))
    attempt = LocalAttempt(
        plan_of(job),
        options,
        machine_ports(store, connectors),
        lambda task: MemoryStore(),
        ends={},
        savepoints=deque(),
        on_epoch=lambda times: None,
    )
    attempt.start()
    while not attempt.coordinator.started:
        attempt.step()
    yield attempt
    attempt.close()
    connectors.close()
    broker.close()


@pytest.mark.parametrize("message", [object(), Settled(SLOT), EpochApplied(1)])
def test_a_worker_refuses_a_message_that_no_coordinator_sends(running: LocalAttempt, message: object) -> None:
    assert running.driver is not None
    with pytest.raises(InvariantBroken, match=type(message).__name__):
        running.driver.receive(message)


@pytest.mark.parametrize("message", [object(), EpochApplied(1)])
def test_a_coordinator_refuses_a_message_that_no_worker_sends(running: LocalAttempt, message: object) -> None:
    hosted = running.coordinator
    with pytest.raises(InvariantBroken, match=type(message).__name__):
        hosted.receive(hosted.coordinator.attempt, message)


def test_a_coordinator_ignores_the_messages_of_other_attempts(running: LocalAttempt) -> None:
    hosted = running.coordinator
    hosted.receive(hosted.coordinator.attempt + 1, object())
    hosted.receive(hosted.coordinator.attempt - 1, Started(SLOT, {}))
