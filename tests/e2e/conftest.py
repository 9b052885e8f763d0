"""Brokers for the tests of whole jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.brokers import Broker


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Broker]:
    """The embedded log, new for each test."""
    broker = Broker(f"embedded:{tmp_path / 'log'}")
    yield broker
    broker.close()


@pytest.fixture(params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each of the brokers in turn."""
    if request.param == "kafka":
        broker = Broker(request.getfixturevalue("kafka").url)
    else:
        broker = Broker(f"embedded:{tmp_path / 'log'}")
    yield broker
    broker.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory."""
    return tmp_path / "state"
