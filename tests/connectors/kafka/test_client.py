"""Asking a broker that does not answer, and what its connections report."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from rayflow.connectors.kafka import client
from rayflow.connectors.kafka.caller import Caller
from rayflow.connectors.kafka.client import Contact, ask, make
from rayflow.core.errors import AuthenticationFailed, BrokerRefused, BrokerUnavailable, InvalidConnector, UnknownTopic
from tests.connectors.kafka.clock import Clock
from tests.contracts.connector_records import until_is

DOWN = KafkaError(KafkaError._TRANSPORT, "b/1: Connect failed (after 3ms in state CONNECT)")
ALL_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
REFUSED = KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED, "no")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(client, "time", clock)
    return clock


def test_an_outage_begins_when_all_brokers_are_down_and_says_what_the_last_one_met() -> None:
    contact = Contact()
    contact.on_error(DOWN)
    assert contact.outage is None
    contact.on_error(ALL_DOWN)
    assert contact.outage == "b/1: Connect failed"
    contact.on_error(KafkaError(KafkaError._RESOLVE, "b/1: no such host"))
    assert contact.outage == "b/1: no such host"
    contact.on_error(KafkaError(KafkaError.POLICY_VIOLATION, "unrelated"))
    assert contact.outage == "b/1: no such host"
    contact.reached()
    assert contact.outage is None
    assert not contact.doubt
    unnamed = Contact()
    unnamed.on_error(ALL_DOWN)
    assert unnamed.outage == "all brokers are down"


def test_a_refused_connection_is_raised_once_and_a_missing_topic_is_noted() -> None:
    contact = Contact()
    contact.check()
    contact.on_error(REFUSED)
    with pytest.raises(AuthenticationFailed):
        contact.check()
    contact.check()
    contact.on_error(KafkaError(KafkaError._UNKNOWN_TOPIC))
    assert contact.doubt
    assert contact.outage is None


@pytest.mark.parametrize(
    ("failure", "named"),
    [
        (KafkaException(KafkaError(KafkaError._INVALID_ARG, 'No such property: "sasl.pasword"')), "sasl.pasword"),
        (TypeError("sasl.pasword must be a text"), "sasl.pasword"),
        (ValueError('Invalid value for "other"'), "other"),
        (ValueError("nothing is named"), r"\(unnamed\)"),
        (ValueError('one " only'), r"\(unnamed\)"),
    ],
)
def test_a_client_that_cannot_be_made_names_the_setting(failure: Exception, named: str) -> None:
    def kind(settings: dict[str, Any]) -> object:
        raise failure

    with pytest.raises(InvalidConnector, match=f"cannot be used: {named}"):
        make(kind, {"sasl.pasword": "hunter2"}, Contact())


def test_a_client_is_made_with_its_contact() -> None:
    contact = Contact()
    settings = make(dict, {"a": 1}, contact)
    assert settings["a"] == 1
    settings["error_cb"](REFUSED)
    assert contact.refusal is REFUSED
    settings["logger"].log(3, "text %s", "value")


def asked(
    answers: list[KafkaError | str], clock: Clock, takes: float = 0.0
) -> tuple[Callable[[float], str], list[float]]:
    """A call that gives these answers, the last one for ever; and how many seconds it was given each time."""
    given: list[float] = []

    def call(seconds: float) -> str:
        given.append(seconds)
        clock.now += min(seconds, takes) if takes else seconds
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, KafkaError):
            raise KafkaException(answer)
        return answer

    return call, given


def test_an_answer_ends_an_outage(clock: Clock) -> None:
    contact = Contact()
    contact.outage = "down"
    call, given = asked([DOWN, DOWN, "answer"], clock)
    assert ask(call, contact, "what it is") == "answer"
    assert contact.outage is None
    assert given == [0.25, 0.5, 1.0]
    assert clock.slept == [0.02, 0.02]


def test_a_broker_that_stays_away_is_unavailable_after_the_time(clock: Clock) -> None:
    contact, served = Contact(), []
    call, given = asked([DOWN], clock)
    with pytest.raises(BrokerUnavailable, match=r"within 20 s when asked what it is \(_TRANSPORT\)"):
        ask(call, contact, "what it is", timeout=20.0, serve=served.append)
    assert given[:6] == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0]
    assert 0.01 in given
    assert min(given) == 0.01
    assert 20.0 <= clock.now < 20.1
    assert served == [0] * len(given)
    contact.outage = "2 brokers down"
    with pytest.raises(BrokerUnavailable, match="2 brokers down"):
        ask(call, contact, "what it is", timeout=0.0)


def test_an_error_that_waiting_does_not_correct_is_raised_at_once(clock: Clock) -> None:
    for error, expected in (
        (KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), UnknownTopic),
        (KafkaError(KafkaError.POLICY_VIOLATION), BrokerRefused),
        (REFUSED, AuthenticationFailed),
    ):
        call, given = asked([error], clock)
        with pytest.raises(expected) as raised:
            ask(call, Contact(), "what it is", topic="t")
        assert raised.value.topic == (None if error is REFUSED else "t")
        assert len(given) == 1


def test_a_retriable_error_is_repeated_without_a_pause(clock: Clock) -> None:
    call, given = asked([KafkaError(KafkaError.POLICY_VIOLATION, "", False, True), "answer"], clock)
    assert ask(call, Contact(), "what it is") == "answer"
    assert len(given) == 2
    assert clock.slept == []


def test_a_login_that_is_refused_in_the_background_ends_the_question(clock: Clock) -> None:
    contact = Contact()
    call, given = asked([DOWN], clock)
    with pytest.raises(AuthenticationFailed):
        ask(call, contact, "what it is", serve=lambda _: contact.on_error(REFUSED))
    assert len(given) == 1


def test_a_caller_runs_calls_in_order_and_gives_their_results_and_errors() -> None:
    caller, ran = Caller(), []
    assert not caller.busy
    futures = [caller.submit(lambda n=n: ran.append(n) or n) for n in range(5)]
    failing = caller.submit(lambda: 1 / 0)
    assert [future.result(60) for future in futures] == ran == [*range(5)]
    with pytest.raises(ZeroDivisionError):
        failing.result(60)
    assert not caller.busy
    thread = caller._thread
    assert thread is not None
    assert thread.daemon
    caller.close()
    thread.join(60)
    assert not thread.is_alive()


def test_a_caller_is_busy_until_its_last_call_returns() -> None:
    caller = Caller()
    blocked = threading.Event()
    future = caller.submit(lambda: blocked.wait(60))
    assert caller.busy
    blocked.set()
    assert future.result(60)
    assert not caller.busy
    caller.close()


def test_a_caller_lets_go_of_what_a_call_refers_to_when_it_has_returned() -> None:
    class Producer:
        pass

    caller, producer = Caller(), Producer()
    held = weakref.ref(producer)
    caller.submit(partial(id, producer)).result(60)
    del producer
    until_is(lambda: held() is None, True)
    caller.close()
