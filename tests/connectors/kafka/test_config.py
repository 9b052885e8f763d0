"""What a Kafka connector may be told, and what it keeps to itself."""

from __future__ import annotations

import pytest

from rayflow.connectors.kafka.config import OWNED, KafkaSettings, merge, parse_url
from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.connectors.kafka.markers import marker_topic
from rayflow.core.errors import InvalidConnector


@pytest.mark.parametrize(
    ("url", "bootstrap"),
    [
        ("kafka://a", "a:9092"),
        ("kafka://a:1,b:2/", "a:1,b:2"),
        ("kafka://10.0.0.1:9093, b.example.org", "10.0.0.1:9093,b.example.org:9092"),
        ("kafka://[::1]:9094,[fe80::1]", "[::1]:9094,[fe80::1]:9092"),
    ],
)
def test_a_url_names_the_bootstrap_servers(url: str, bootstrap: str) -> None:
    assert parse_url(url) == bootstrap


@pytest.mark.parametrize(
    "url", ["kafka://", "kafka:a", "http://a", "kafka://a:b", "kafka://a,,b", "kafka://a/x", "a:1"]
)
def test_a_url_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(InvalidConnector):
        KafkaConnector(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidConnector) as refused:
        KafkaConnector("kafka://ann:hunter2@broker:9092")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(OWNED))
def test_a_setting_that_is_rayflows_own_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidConnector, match=name):
        KafkaConnector("kafka://a", {name: "x"}, {})
    with pytest.raises(InvalidConnector, match=name):
        KafkaConnector("kafka://a", {}, {"RAYFLOW_KAFKA_" + name.upper().replace(".", "_"): "x"})


def test_a_jobs_settings_win_over_the_environment_and_ours_win_over_none() -> None:
    environment = {"RAYFLOW_KAFKA_LINGER_MS": "1", "RAYFLOW_KAFKA_CLIENT_ID": "me", "RAYFLOW_OTHER": "x"}
    environment["RAYFLOW_KAFKA_SSL_CA_LOCATION"] = ""
    given = merge({"linger.ms": "2", "fetch.min.bytes": "7"}, environment)
    assert given == {"linger.ms": "2", "fetch.min.bytes": "7", "client.id": "me"}
    settings = KafkaSettings("a:9092", given)
    assert settings.transactional_producer("id")["linger.ms"] == "2"
    assert settings.consumer("g")["fetch.min.bytes"] == "7"
    assert KafkaSettings("a:9092").consumer("g")["isolation.level"] == "read_committed"


def test_what_exactness_depends_on_is_set_for_each_client_whatever_is_given() -> None:
    given = {"linger.ms": "7", "client.id": "mine", "enable.idempotence": "false"}
    settings = KafkaSettings("a:9092", given)
    clients = {
        "admin": settings.admin(),
        "consumer": settings.consumer("g"),
        "lasting": settings.lasting_producer(),
        "transactional": settings.transactional_producer("id"),
    }
    for client in clients.values():
        assert (client["bootstrap.servers"], client["client.id"]) == ("a:9092", "mine")
    expected = {
        "group.id": "g",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "max.poll.interval.ms": 86_400_000,
    }
    assert {name: clients["consumer"][name] for name in expected} == expected
    expected = {
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "delivery.report.only.error": True,
        "linger.ms": "7",
    }
    for name in ("lasting", "transactional"):
        assert {name_: clients[name][name_] for name_ in expected} == expected
    assert clients["lasting"]["message.timeout.ms"] == 0
    assert clients["transactional"]["transactional.id"] == "id"
    assert "transactional.id" not in clients["lasting"]


@pytest.mark.parametrize(
    ("given", "seconds", "request_ms"),
    [
        ({}, 60.0, 10_000),
        ({"transaction.timeout.ms": "5000"}, 5.0, 5_000),
        ({"transaction.timeout.ms": "20000"}, 20.0, 10_000),
        ({"transaction.timeout.ms": "5000", "socket.timeout.ms": "7000"}, 5.0, "7000"),
    ],
)
def test_a_request_ends_before_its_transaction(given: dict[str, str], seconds: float, request_ms: object) -> None:
    settings = KafkaSettings("a:9092", given)
    assert settings.transaction_timeout == seconds
    assert settings.transactional_producer("id")["socket.timeout.ms"] == request_ms
    assert int(settings.transactional_producer("id")["transaction.timeout.ms"]) == seconds * 1_000


def test_no_secret_is_shown() -> None:
    given = {"security.protocol": "SASL_SSL", "sasl.password": "hunter2", "ssl.key.password": "hunter3"}
    connector = KafkaConnector("kafka://a", given)
    settings = KafkaSettings("a:9092", given)
    assert "hunter" not in repr(connector) + repr(settings) + str(settings)


def test_a_setting_that_librdkafka_does_not_know_is_named_without_its_value() -> None:
    connector = KafkaConnector("kafka://127.0.0.1:1", {"security.protocol": "SSL", "sasl.pasword": "hunter2"})
    with pytest.raises(InvalidConnector, match=r"sasl\.pasword") as refused:
        connector.topics()
    assert "hunter2" not in str(refused.value)


def test_a_value_that_librdkafka_does_not_take_is_not_repeated() -> None:
    connector = KafkaConnector("kafka://127.0.0.1:1", {"security.protocol": "hunter2"})
    with pytest.raises(InvalidConnector, match=r"security\.protocol") as refused:
        connector.topics()
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value.__cause__)


def test_a_transaction_timeout_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidConnector, match=r"transaction\.timeout\.ms"):
        _ = KafkaSettings("a:9092", {"transaction.timeout.ms": "soon"}).transaction_timeout


def test_names_of_marker_topics_are_legal_and_stay_apart() -> None:
    names = [("j", "a b"), ("j", "a.b"), ("j", "a_b"), ("j", "a-b"), ("j", "é"), ("j", "x" * 300), ("j", "x" * 301)]
    topics = [marker_topic(*name) for name in names]
    assert len({topic.replace(".", "_") for topic in topics}) == len(topics)
    for topic in topics:
        assert len(topic) <= 249
        assert set(topic) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
