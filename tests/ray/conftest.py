"""One Ray cluster of two nodes for all tests of this folder, which pytest-xdist runs in one process (group "ray")."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rayflow.runtimes.ray.client import Cluster
from tests.e2e.brokers import Broker
from tests.ray.machines import Machines


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """Two nodes of 4 CPUs each. A test that takes one away adds another."""
    with Machines(2) as machines:
        yield machines


@pytest.fixture
def cluster(machines: Machines) -> Iterator[Cluster]:
    """A client's connection. Whatever the test leaves running is taken off."""
    with Cluster(machines.address) as cluster:
        yield cluster
        for job in cluster.jobs():
            job.remove()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Broker]:
    """The embedded log, new for each test."""
    broker = Broker(f"embedded:{tmp_path / 'log'}")
    yield broker
    broker.close()


@pytest.fixture
def on_kafka(kafka: object) -> Iterator[Broker]:
    """The run's Kafka."""
    broker = Broker(kafka.url)  # type: ignore[attr-defined]
    yield broker
    broker.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory, which the nodes share as they share the machine."""
    return tmp_path / "state"
