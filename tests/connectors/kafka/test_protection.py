"""To whom a login is sent, and what happens to one that the connection would not use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from rayflow.connectors.kafka.config import merge
from rayflow.connectors.kafka.connector import KafkaConnector
from rayflow.core.errors import InvalidConnector
from rayflow.core.topics import ConnectorSpec, TopicRef
from rayflow.runtimes.machine.connectors import OpenConnectors

LOGIN = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "ann",
    "sasl.password": "hunter2",
    "ssl.ca.location": "/etc/run.pem",
}
OWN = {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "eu", "sasl.password": "own"}


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"RAYFLOW_KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}


def settings_of(connector: Any) -> dict[str, Any]:
    """What its clients are given."""
    assert isinstance(connector, KafkaConnector)
    return connector._settings.admin()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables({**LOGIN, "linger.ms": "7"}).items():
        monkeypatch.setenv(name, value)


def pinned(url: str, config: Mapping[str, str]) -> TopicRef:
    return TopicRef("orders", ConnectorSpec(url, tuple(sorted(config.items()))))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("broker", ["kafka://run:9092", "embedded:/log"])
def test_the_login_of_the_environment_is_not_sent_to_a_cluster_that_a_topic_is_pinned_to(broker: str) -> None:
    connectors = OpenConnectors(ConnectorSpec(broker))
    found = settings_of(connectors.of(pinned("kafka://eu:9092", OWN)))
    assert {name: value for name, value in found.items() if name.startswith(("sasl.", "ssl.", "security."))} == OWN
    assert found["linger.ms"] == "7"
    for own in ({"security.protocol": "PLAINTEXT"}, {"security.protocol": "SSL"}):
        found = settings_of(connectors.of(pinned("kafka://other:9092", own)))
        assert not [name for name in found if name.startswith(("sasl.", "ssl."))]


@pytest.mark.usefixtures("environment")
def test_the_broker_of_the_run_has_the_login_of_the_environment_also_where_a_topic_is_pinned_to_it() -> None:
    connectors = OpenConnectors(ConnectorSpec("kafka://a:9092,b:9093", (("client.id", "me"),)))
    for topic in (TopicRef("orders"), pinned("kafka://b:9093", {}), pinned("kafka://b:9093,a", {"acks.x": "1"})):
        found = settings_of(connectors.of(topic))
        assert {name: found[name] for name in LOGIN} == LOGIN
        assert found["client.id"] == "me"
    with pytest.raises(InvalidConnector, match="pinned to kafka://a:9092,c:9092"):
        connectors.of(pinned("kafka://a,c", {}))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("own", "missing"),
    [
        ({}, "security.protocol"),
        ({"sasl.username": "eu", "sasl.password": "own"}, "security.protocol"),
        ({name: value for name, value in OWN.items() if name != "sasl.password"}, "sasl.password"),
        ({"security.protocol": "sasl_ssl"}, "sasl.password, sasl.username"),
    ],
)
def test_a_pinned_cluster_without_a_login_of_its_own_is_refused_by_the_settings_name(
    own: dict[str, str], missing: str
) -> None:
    connectors = OpenConnectors(ConnectorSpec("kafka://run:9092"))
    with pytest.raises(InvalidConnector) as refused:
        connectors.of(pinned("kafka://eu:9092", own))
    assert refused.value.what.startswith(f"A topic is pinned to kafka://eu:9092 without {missing}, ")
    assert "hunter2" not in str(refused.value)


def test_a_pinned_cluster_needs_no_protocol_where_the_environment_has_none() -> None:
    run = ConnectorSpec("kafka://run:9092", (("client.id", "me"),))
    assert merge({}, {}, "kafka://eu:9092", run) == {}
    assert merge({}, variables({"security.protocol": "plaintext"}), "kafka://eu:9092", run) == {}
    kerberos = {"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}
    assert merge(kerberos, variables(LOGIN), "kafka://eu:9092", run) == kerberos


@pytest.mark.parametrize(
    "name", ["ssl.ca.location", "ssl.certificate.location", "sasl.username", "sasl.password", "sasl.mechanism"]
)
def test_tls_or_a_login_without_a_protocol_is_refused_by_name(name: str) -> None:
    for config, environment in (({name: "hunter2"}, {}), ({}, variables({name: "hunter2"}))):
        with pytest.raises(InvalidConnector, match=rf"{name}: set without security\.protocol") as refused:
            KafkaConnector("kafka://a", config, environment)
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("protocol", "unused"),
    [
        ("PLAINTEXT", "sasl.mechanism, sasl.password, sasl.username, ssl.ca.location"),
        ("ssl", "sasl.mechanism, sasl.password, sasl.username"),
        ("SASL_PLAINTEXT", "ssl.ca.location"),
        ("SASL_SSL", ""),
    ],
)
def test_settings_that_the_protocol_does_not_use_are_warned_of_by_name(
    protocol: str, unused: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        KafkaConnector("kafka://a", {**LOGIN, "security.protocol": protocol}, {})
    assert [record.getMessage() for record in caplog.records] == (
        [f"{unused}: no effect with security.protocol={protocol.upper()} (kafka://a:9092)"] if unused else []
    )
