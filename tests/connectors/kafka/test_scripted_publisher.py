"""What an exactly-once publisher does about each answer of its producer, in a scripted world."""

from __future__ import annotations

from concurrent.futures import TimeoutError as NotYet

import pytest
from confluent_kafka import KafkaError

from rayflow.connectors.kafka import publisher as publishing
from rayflow.core.errors import (
    BrokerRefused,
    BrokerUnavailable,
    Fenced,
    InvariantBroken,
    RayflowError,
    TransactionTooShort,
    UnknownTopic,
)
from rayflow.core.ids import Marker
from tests.connectors.kafka.scripted import BATCH, LASTING, TASK, Scripted

PASSING = KafkaError(KafkaError._TRANSPORT)
ABORT = KafkaError(KafkaError._STATE, "abort", False, False, True)
FENCED = KafkaError(KafkaError._FENCED, "", True)
FATAL = KafkaError(KafkaError._STATE, "", True)
ALL = ["begun", "produced", "produced", "marked", "positioned", "committing", "committed"]


@pytest.fixture
def it(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Opened, with nothing noted yet."""
    it = Scripted(monkeypatch)
    assert it.publisher.open([TASK]) == {TASK: None}
    it.called.clear()
    return it


def once(steps: list[str]) -> list[str]:
    """Without repetitions in a row."""
    return [step for n, step in enumerate(steps) if n == 0 or step != steps[n - 1]]


def test_opening_fences_before_it_reads_the_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Scripted(monkeypatch)
    it.held[TASK] = Marker("l", 4)
    assert it.publisher.markers([TASK]) == {TASK: Marker("l", 4)}
    assert it.called == ["prepare", "read 60 unstable"]
    it.called.clear()
    assert it.publisher.open([TASK]) == {TASK: Marker("l", 4)}
    assert it.called == ["connect", "take_over", "prepare", "read 60", "await_group"]
    assert [producer.name for producer in it.producers] == ["rayflow-job-7"]
    it.called.clear()
    it.publisher.markers([TASK])
    assert it.called == ["prepare", "read 60"]
    it.called.clear()
    it.publisher.open([TASK])
    assert it.called[0] == "abandon"


def test_opening_waits_for_an_earlier_transaction_to_end_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Scripted(monkeypatch)
    it.fails["take_over"] = [PASSING, PASSING]
    it.slow["take_over"] = [50.0, 30.0]
    it.publisher.open([TASK])
    assert it.called.count("take_over") == 3
    it.slow["take_over"] = [1_000.0]
    before = it.clock.now
    with pytest.raises(BrokerUnavailable, match="earlier publisher"):
        it.publisher.open([TASK])
    assert 90.0 < it.clock.now - before < 91.0
    it.slow.clear()
    it.fails["take_over"] = [LASTING]
    with pytest.raises(BrokerRefused, match="to begin transactions"):
        it.publisher.open([TASK])


def test_an_epoch_is_one_transaction_of_records_markers_and_positions(it: Scripted) -> None:
    assert it.publish() == ALL
    assert it.called == [
        *("partitions t", "begin", "feed", "send_offsets <job-markers> markers-out/0=1 l"),
        *("send_offsets <job> in/0=9 1", "commit"),
    ]
    it.called.clear()
    it.unprepared = True
    assert once(it.publish(2, [], positions=False)) == once(ALL)
    assert it.called == ["prepare", "begin", "send_offsets <job-markers> markers-out/0=2 l", "commit"]
    it.called.clear()
    assert once(list(it.publisher.publish(Marker("l", 3), {}, {}))) == once(ALL)
    assert it.called[-2:] == ["begin", "commit"]


def test_calls_that_fail_in_passing_are_repeated(it: Scripted) -> None:
    it.fails = {"partitions": [BrokerUnavailable("away")], "commit": [PASSING, PASSING]}
    assert it.publish()[:2] == ["waiting", "begun"]
    assert [it.called.count(name) for name in ("partitions t", "begin", "commit")] == [4, 1, 3]


@pytest.mark.parametrize("call", ["begin", "feed", "send_offsets", "commit"])
def test_a_transaction_that_must_be_aborted_is_tried_again(it: Scripted, call: str) -> None:
    it.fails[call] = [ABORT]
    steps = it.publish()
    assert steps[-1] == "committed"
    assert it.called.count("abort") == 1
    assert it.called.count("begin") == 2
    assert it.called.count("partitions t") == 2
    assert it.publisher.outage is None


@pytest.mark.parametrize("call", ["begin", "feed", "send_offsets", "commit"])
def test_a_lasting_error_ends_the_epoch_after_its_transaction_is_aborted(it: Scripted, call: str) -> None:
    it.fails[call] = [LASTING]
    with pytest.raises(BrokerRefused, match="lasting") as refused:
        it.publish()
    assert refused.value.topic == {"feed": "t", "send_offsets": "markers-out"}.get(call)
    assert it.called[-2:] == ["abort", "abandon"]
    with pytest.raises(InvariantBroken):
        it.publish()


@pytest.mark.parametrize("call", ["begin", "feed", "send_offsets", "commit"])
@pytest.mark.parametrize("during_abort", [False, True])
def test_a_fenced_publisher_publishes_nothing_more(it: Scripted, call: str, during_abort: bool) -> None:
    it.fails = {call: [ABORT], "abort": [FENCED]} if during_abort else {call: [FENCED]}
    with pytest.raises(Fenced, match="newer publisher"):
        it.publish()
    assert it.called.count("begin") == 1
    assert it.called[-1] == "abandon"


def test_a_transaction_that_the_broker_ended_itself_is_told_from_a_newer_publisher(it: Scripted) -> None:
    steps = it.steps()
    assert next(steps) == "begun"
    it.clock.now += 60
    it.fails["feed"] = [FENCED]
    with pytest.raises(Fenced, match="ended this publisher's transaction after 60 s"):
        list(steps)


@pytest.mark.parametrize("call", ["begin", "feed", "send_offsets", "commit"])
def test_a_fatal_error_is_settled_by_the_marker(it: Scripted, call: str) -> None:
    it.fails[call] = [FATAL]
    steps = it.publish()
    assert (steps[-1], steps.count("begun")) == ("committed", 1 if call == "begin" else 2)
    assert len(it.producers) == 2
    again = it.called[it.called.index("abandon") :]
    assert again[:5] == ["abandon", "take_over", "read 3", "await_group", "partitions t"]


@pytest.mark.parametrize(
    "fails", [{"begin": [PASSING]}, {"send_offsets": [PASSING]}, {"send_offsets": [None, PASSING]}]
)
def test_an_error_of_offsets_or_of_a_beginning_needs_a_new_producer_even_if_it_passes(
    it: Scripted, fails: dict[str, list[Exception | KafkaError | None]]
) -> None:
    it.fails = fails
    assert it.publish()[-1] == "committed"
    assert len(it.producers) == 2
    assert it.called.count("commit") == 1


@pytest.mark.parametrize("abort", [FATAL, LASTING])
def test_an_abort_that_fails_is_settled_by_the_marker(it: Scripted, abort: KafkaError) -> None:
    it.fails = {"feed": [ABORT], "abort": [PASSING, abort]}
    assert it.publish()[-1] == "committed"
    assert len(it.producers) == 2
    assert it.called.count("abort") == 2


def lost_commit(it: Scripted, found: Marker | None) -> list[str]:
    """Publish epoch 5; the answer of its commit is lost, and this marker is there afterwards."""
    it.fails["commit"] = [FATAL]
    steps = it.steps(5)
    seen = []
    for step in steps:
        seen.append(step)
        if step == "committing":
            it.held[TASK] = found
            break
    return [*seen, *steps]


def test_a_commit_whose_answer_is_lost_is_published_once(it: Scripted) -> None:
    steps = lost_commit(it, Marker("l", 5))
    assert steps.count("begun") == 1
    assert steps[-1] == "committed"
    assert it.called.count("commit") == 1
    assert it.publish(6)[-1] == "committed"
    it.held[TASK] = Marker("l", 6)
    it.fails["commit"] = [FATAL]
    assert it.publish(7).count("begun") == 2


def test_a_commit_that_did_not_happen_is_repeated(it: Scripted) -> None:
    it.held[TASK] = Marker("old", 9)
    it.publisher.open([TASK])
    steps = lost_commit(it, Marker("old", 9))
    assert steps.count("begun") == 2
    assert steps[-1] == "committed"
    assert it.called.count("commit") == 2


@pytest.mark.parametrize("found", [Marker("l", 6), Marker("l", 4), Marker("other", 5), Marker("other", 6)])
def test_a_marker_of_somebody_else_after_a_lost_commit_is_a_newer_publisher(it: Scripted, found: Marker) -> None:
    with pytest.raises(Fenced, match="Another publisher"):
        lost_commit(it, found)
    assert it.called.count("begin") == 1


@pytest.mark.parametrize(
    ("found", "fenced"), [(Marker("l", 6), True), (Marker("l", 4), False), (Marker("other", 6), False), (None, False)]
)
def test_a_sink_that_was_not_opened_here_is_fenced_by_a_newer_epoch_of_its_lineage_only(
    monkeypatch: pytest.MonkeyPatch, found: Marker | None, fenced: bool
) -> None:
    it = Scripted(monkeypatch)
    it.publisher.open([])
    if fenced:
        with pytest.raises(Fenced):
            lost_commit(it, found)
    else:
        assert lost_commit(it, found)[-1] == "committed"


def test_a_full_queue_is_waited_for(it: Scripted) -> None:
    it.fails["feed"] = [BufferError(), BufferError()]
    it.producers[0].still = 0.0
    steps = it.publish()
    assert steps == ["begun", *["produced"] * 4, "marked", "positioned", "committing", "committed"]
    assert it.clock.now == pytest.approx(0.002)
    it.fails["feed"] = [PASSING] * 3
    it.publish(2)
    assert it.clock.now == pytest.approx(0.005)


def test_a_queue_that_stays_full_is_an_outage_until_it_takes_records(it: Scripted) -> None:
    it.fails["feed"] = [*[BufferError()] * 1_500, None, *[BufferError()] * 500]
    steps = it.publish(batches=[BATCH, BATCH])
    produced = steps[1 : steps.index("marked")]
    assert once(produced) == ["produced", "waiting", "produced"]
    assert produced[-500:].count("waiting") == 0
    assert produced.count("waiting") == pytest.approx(500, abs=3)


def test_an_outage_is_over_with_the_next_answer(it: Scripted) -> None:
    it.slow["send_offsets"] = [3.0]
    shown = [(step, it.publisher.outage is not None) for step in it.steps()]
    assert ("waiting", True) in shown
    assert shown[-4:] == [(step, False) for step in ("marked", "positioned", "committing", "committed")]


def test_a_publisher_that_waits_says_so_after_a_second(it: Scripted) -> None:
    it.slow["commit"] = [3.0]
    waits = []
    for step in it.steps():
        if it.clock.now:
            waits.append((step, it.clock.now, it.publisher.outage))
    assert waits[:4] == [
        *(("committing", 0.25 * n, None) for n in (1, 2, 3)),
        ("waiting", 1.0, "no answer for 1 s"),
    ]
    assert waits[-1] == ("committed", 3.0, None)
    it.slow["commit"] = [2.0]
    seen = []
    for step in it.steps(2):
        seen.append((step, it.publisher.outage))
        if step == "committing":
            it.producers[0].contact.outage = "all down"
    assert ("waiting", "all down") in seen
    assert seen[-1] == ("committed", None)
    assert it.producers[0].contact.outage is None


def test_a_login_that_is_refused_while_a_call_waits_is_raised(it: Scripted) -> None:
    it.slow["commit"] = [3.0]
    refused = KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED)
    it.on_serve = lambda producer: producer.contact.on_error(refused) if it.clock.now else None
    with pytest.raises(RayflowError, match="refused the connection"):
        it.publish()
    assert 1.0 < it.clock.now < 2.0


@pytest.mark.parametrize(("still", "age"), [(6.0, 30.0), (5.9, 54.0)])
def test_a_transaction_is_given_up_late_while_records_go_out_and_earlier_when_none_does(
    it: Scripted, still: float, age: float
) -> None:
    it.slow["commit"] = [1_000.0]
    it.answers = False
    it.producers[0].still = still
    steps = it.steps()
    for step in steps:
        if "abandon" in it.called:
            assert step == "waiting"
            break
    assert age < it.clock.now <= age + 0.25
    it.slow.clear()
    assert list(steps)[-1] == "committed"


def test_an_epoch_that_three_transactions_were_too_short_for_is_refused(it: Scripted) -> None:
    it.slow["commit"] = [1_000.0] * 3
    it.answers = False
    began = []
    with pytest.raises(TransactionTooShort):  # noqa: PT012 - the producers are made meanwhile
        for step in it.steps():
            it.producers[-1].still = 0.0
            began += [step] if step == "begun" else []
    assert len(began) == 3


@pytest.mark.parametrize("silent", [False, True])
def test_a_call_that_does_not_return_is_abandoned_only_if_the_broker_answers_others(it: Scripted, silent: bool) -> None:
    it.slow["commit"] = [20.0]
    it.producers[0].still = 0.0
    if silent:
        it.fails["ping"] = [PASSING] * 1_000
    assert it.publish()[-1] == "committed"
    assert len(it.producers) == (1 if silent else 2)
    assert it.called.count("commit") == 1
    if not silent:
        assert 5.0 < it.clock.now <= 5.5
        assert it.called.count("close caller") >= 2


def test_a_broker_that_did_not_answer_is_asked_again_while_a_call_is_stuck(it: Scripted) -> None:
    it.slow["commit"] = [20.0]
    it.producers[0].still = 0.0
    it.fails["ping"] = [PASSING] * 3
    assert it.publish()[-1] == "committed"
    assert (len(it.producers), it.called.count("ping")) == (2, 4)


def test_an_interrupted_publish_is_aborted_before_the_next(it: Scripted) -> None:
    assert next(it.steps()) == "begun"
    it.called.clear()
    assert it.publish()[-1] == "committed"
    assert it.called[:2] == ["abort", "begin"]


def test_closing_twice_has_no_further_effect(it: Scripted) -> None:
    it.publish()
    it.called.clear()
    it.publisher.close()
    it.publisher.close()
    assert it.called == ["close caller", "close caller"]


@pytest.mark.parametrize("failure", [None, PASSING, NotYet(), SystemError()])
def test_closing_aborts_an_open_transaction_and_raises_no_error(it: Scripted, failure: Exception | KafkaError) -> None:
    steps = it.steps()
    assert next(steps) == "begun"
    it.fails["abort"] = [failure]
    it.called.clear()
    it.publisher.close()
    with pytest.raises(InvariantBroken):
        list(steps)
    assert it.called == ["abort", "close caller"]


def test_a_topic_that_disappears_while_a_commit_waits_is_unknown(it: Scripted) -> None:
    it.fails = {"commit": [PASSING], "partitions": [None, UnknownTopic("gone", topic="t")]}
    with pytest.raises(UnknownTopic):
        it.publish()


def test_settling_waits_for_the_topics_of_the_last_epoch(it: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(publishing, "await_readers", lambda *values: asked.append(values[2:]))
    it.publish()
    it.publisher.settle()
    assert asked == [("job", {"t"}, 10.0)]


@pytest.mark.parametrize("call", ["commit", "abort"])
def test_calls_that_go_on_failing_do_not_outlast_their_transaction(it: Scripted, call: str) -> None:
    it.fails = {"feed": [ABORT]} if call == "abort" else {}
    it.fails[call] = [PASSING] * 1_000
    it.slow[call] = [0.5] * 1_000
    it.answers = False
    steps = it.steps()
    for _ in steps:
        if "abandon" in it.called:
            break
    assert 30.0 < it.clock.now < 31.0
    it.fails.clear()
    it.slow.clear()
    assert list(steps)[-1] == "committed"


def test_a_call_that_waits_while_records_go_out_is_no_outage(it: Scripted) -> None:
    it.clock.now = 100.0
    it.slow["commit"] = [3.0]
    it.producers[0].still = 0.5
    assert "waiting" not in it.publish()
    it.producers[0].still = 50.0
    it.slow["commit"] = [0.5]
    assert "waiting" not in it.publish(2)


def test_a_refused_login_is_what_a_failed_call_ends_with(it: Scripted) -> None:
    it.fails["commit"] = [PASSING]
    steps = it.steps()
    while next(steps) != "committing":
        it.producers[0].contact.refusal = KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED)
    with pytest.raises(RayflowError, match="refused the connection"):
        list(steps)
    assert it.called[-1] == "abandon"


def test_what_belongs_to_at_least_once_is_refused(it: Scripted) -> None:
    with pytest.raises(InvariantBroken):
        it.publisher.append([])
    with pytest.raises(InvariantBroken):
        it.publisher.flush()
