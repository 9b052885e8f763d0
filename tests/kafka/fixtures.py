"""pytest fixtures: `kafka` (one broker for the whole run), `kafka_sasl`, `own_kafka` (a private one to break).

Import them in `tests/conftest.py`: `from tests.kafka.fixtures import kafka, kafka_sasl, own_kafka`.
`RAYFLOW_TEST_KAFKA=host:port` has `kafka` use a broker that runs already.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.broker import Broker
from tests.kafka.client import Kafka


def join_or_start(root: Path) -> tuple[Kafka, Broker | None, int | None]:
    """The run's broker: the newest under `root` if it is in use, else a new one.

    Every process of a run holds the broker's lock file while it uses it; the last to let go ends the broker.
    """
    with open(root / "kafka.lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        folders = sorted(root.glob("kafka-*"), key=lambda folder: int(folder.name.removeprefix("kafka-")))
        for folder in folders[-1:]:
            lock = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:  # its supervisor is ending it
                os.close(lock)
            else:
                found = Broker(folder)
                if found.answers():
                    return found, None, lock
                os.close(lock)
        number = int(folders[-1].name.removeprefix("kafka-")) + 1 if folders else 1
        broker = Broker(root / f"kafka-{number}", remove=True).start()
        return broker, broker, None


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """The broker of the test run, shared by all pytest-xdist workers: use fresh topic names, never stop it."""
    given = os.environ.get("RAYFLOW_TEST_KAFKA")
    if given:
        yield Kafka(given, os.environ.get("RAYFLOW_TEST_KAFKA_SASL"))
        return
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    shared, _started, lock = join_or_start(root)
    yield shared
    if lock is not None:
        os.close(lock)
    if isinstance(shared, Broker):
        shared.release()


@pytest.fixture(scope="session")
def kafka_sasl(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker with a SCRAM-SHA-256 listener: the run's, or a private one when the given broker has none."""
    if kafka.sasl is not None:
        yield kafka
        return
    broker = Broker(tmp_path_factory.mktemp("kafka-sasl")).start()
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A private broker that tests may stop, kill, freeze and start again; leave it running for the next test."""
    broker = Broker(tmp_path_factory.mktemp("own-kafka")).start()
    yield broker
    broker.close()
