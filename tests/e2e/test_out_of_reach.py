"""Topics and brokers that are not there, or do not let the job in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayflow.core.errors import AuthenticationFailed, BrokerUnavailable, UnknownTopic
from tests.e2e.brokers import Broker
from tests.e2e.jobs import COUNTS_FILE, counts, upper
from tests.e2e.processes import Command, arguments_of, job_file
from tests.e2e.running import Running, run
from tests.kafka.broker import free_ports
from tests.kafka.client import PASSWORD, USER, Kafka, until

LONGEST = 60.0
"""Seconds after which a broker that is away must have been told of."""


def test_a_topic_that_does_not_exist_is_named_and_the_next_run_works(broker: Broker, state: Path) -> None:
    with pytest.raises(UnknownTopic) as caught:
        run(upper(broker), broker, state)
    assert (caught.value.code, caught.value.topic) == ("RF-3001", broker.name("in"))
    broker.create("in")
    broker.append("in", [("a", "x")])
    run(upper(broker), broker, state)
    assert broker.values("out") == ["X"]


def test_a_topic_that_is_deleted_while_the_job_reads_it_stops_the_job(broker: Broker, state: Path) -> None:
    broker.create("in")
    broker.append("in", [("a", "x")])
    running = Running(upper(broker), broker, state)
    running.until(lambda progress: progress.records_in == 1)
    until(lambda: broker.values("out") == ["X"])  # the epoch that is committed first may be without the record
    broker.connector.delete(broker.name("in"))
    error = running.failure()
    assert isinstance(error, UnknownTopic)
    assert error.topic == broker.name("in")
    assert broker.values("out") == ["X"]


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"kafka://127.0.0.1:{listener.getsockname()[1]}"


def test_a_broker_that_is_away_or_silent_at_the_start_ends_the_process_with_exit_code_3(
    silent: str, state: Path, tmp_path: Path
) -> None:
    file = str(job_file(tmp_path, COUNTS_FILE))
    commands = [
        Command(tmp_path, "run", file, *arguments_of(Broker(url), state / str(number)), "--until-end")
        for number, url in enumerate([f"kafka://127.0.0.1:{free_ports(1)[0]}", silent])
    ]
    for ended in [command.wait(LONGEST) for command in commands]:
        assert ended.code == BrokerUnavailable.exit_code == 3
        assert ended.failure["code"] == "RF-3002"
        assert "--broker" in ended.failure["advice"]


@pytest.fixture
def secured(kafka_sasl: Kafka) -> Iterator[Broker]:
    """A Kafka that wants SCRAM-SHA-256; the broker's own client is let in."""
    broker = Broker(f"kafka://{kafka_sasl.sasl}", credentials(PASSWORD))
    broker.__dict__["kafka"] = kafka_sasl
    yield broker
    broker.close()


def credentials(password: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": USER,
        "sasl.password": password,
    }


def test_wrong_credentials_are_refused_without_telling_them_and_right_ones_work(secured: Broker, state: Path) -> None:
    secured.create("in", 2)
    secured.append("in", [("a", "x"), ("b", "y"), ("a", "x")])
    wrong = Broker(secured.url, credentials("not-the-password"), tag=secured.tag)
    with pytest.raises(AuthenticationFailed) as caught:
        run(counts(wrong), wrong, state)
    assert (caught.value.code, caught.value.exit_code) == ("RF-3003", 3)
    assert "not-the-password" not in str(caught.value)
    run(counts(secured), secured, state)
    secured.append("in", [("a", "x")])
    run(counts(secured), secured, state)
    assert secured.by_key("out") == {"x": [1, 2, 3], "y": [1]}


def test_a_process_takes_its_credentials_from_the_environment(secured: Broker, state: Path, tmp_path: Path) -> None:
    secured.create("in")
    secured.append("in", [("a", "x")])
    names = {f"RAYFLOW_KAFKA_{name.upper().replace('.', '_')}": value for name, value in secured.config.items()}
    arguments = ["run", str(job_file(tmp_path, COUNTS_FILE)), *arguments_of(secured, state), "--until-end"]
    wrong = {**names, "RAYFLOW_KAFKA_SASL_PASSWORD": "not-the-password"}
    refused = Command(tmp_path, *arguments, environment=wrong).wait(LONGEST)
    assert (refused.code, refused.failure["code"]) == (3, "RF-3003")
    assert "not-the-password" not in refused.out + refused.err
    assert Command(tmp_path, *arguments, environment=names).wait(LONGEST).code == 0
    assert secured.by_key("out") == {"x": [1]}
