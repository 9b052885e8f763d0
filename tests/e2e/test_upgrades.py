"""A job that has changed since its last checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.core.errors import StateKindChanged, StateWouldBeDropped
from tests.e2e.brokers import Broker
from tests.e2e.running import Crash, crash_at, run

WORDS = [("a", "x"), ("b", "y"), ("c", "x")]


def job_of(broker: Broker, *, id: str = "counts", exchange: bool = False, more: bool = False) -> rf.Job:
    """Counts words by their topic's own key, or behind an exchange; `more` adds an operator with state."""
    job = rf.Job(broker.name("evolving"))
    words = job.stream(broker.name("in"), key=str, value=str)
    keyed = words.key_by(lambda word: word) if exchange else words.group_by_key()
    if more:
        keyed.aggregate(longest=rf.max(len), name="longest").to(broker.name("longest"), name="longest-out")
    keyed.count(emit="record", name=id).to(broker.name("out"), name="out")
    return job


@pytest.fixture
def by_word(embedded: Broker) -> Broker:
    """A topic that is keyed by what is counted, and written twice."""
    embedded.create("in", 3)
    embedded.append("in", [(word, word) for _, word in WORDS])
    return embedded


def again(broker: Broker) -> None:
    broker.append("in", [(word, word) for _, word in WORDS])


def test_state_is_found_by_its_operator_when_a_stage_comes_before_it(by_word: Broker, state: Path) -> None:
    run(job_of(by_word, exchange=True), by_word, state)
    again(by_word)
    job = rf.Job(by_word.name("evolving"))
    words = job.stream(by_word.name("in"), key=str, value=str)
    spread = words.key_by(lambda word: len(word), name="spread").map(str.strip)
    spread.key_by(lambda word: word, name="by-word").count(emit="record", name="counts").to(
        by_word.name("out"), name="out"
    )
    run(job, by_word, state)
    assert by_word.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}


def test_new_operators_beside_it_leave_an_operators_state_alone(by_word: Broker, state: Path) -> None:
    run(job_of(by_word), by_word, state)
    again(by_word)
    run(job_of(by_word, more=True), by_word, state)
    assert by_word.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2]}
    assert {key: rows[-1]["longest"] for key, rows in by_word.by_key("longest").items()} == {"x": 1, "y": 1}


def test_states_of_two_stages_that_become_one_are_both_found(by_word: Broker, state: Path) -> None:
    def job(*, together: bool) -> rf.Job:
        job = rf.Job(by_word.name("evolving"))
        words = job.stream(by_word.name("in"), key=str, value=str)
        one = words.key_by(lambda word: word, name="first")
        two = one if together else words.key_by(lambda word: word, name="second")
        one.count(emit="record", name="counts").to(by_word.name("out"), name="out")
        two.fold(0, lambda total, word: total + len(word), emit="record", name="sizes").to(
            by_word.name("sizes"), name="sizes-out"
        )
        return job

    run(job(together=False), by_word, state)
    again(by_word)
    run(job(together=True), by_word, state)
    again(by_word)
    run(job(together=False), by_word, state)
    expected = {"x": [1, 2, 3, 4, 5, 6], "y": [1, 2, 3]}
    assert by_word.by_key("out") == expected
    assert by_word.by_key("sizes") == expected


def test_a_renamed_operator_would_drop_its_state_and_may(by_word: Broker, state: Path) -> None:
    run(job_of(by_word), by_word, state)
    again(by_word)
    renamed = job_of(by_word, id="renamed")
    for _ in range(2):
        with pytest.raises(StateWouldBeDropped) as caught:
            run(renamed, by_word, state)
        assert caught.value.code == "RF-4003"
        assert "counts/values" in caught.value.what
    assert by_word.by_key("out") == {"x": [1, 2], "y": [1]}
    run(renamed, by_word, state, drop_state=True)
    assert by_word.by_key("out") == {"x": [1, 2, 1, 2], "y": [1, 1]}
    again(by_word)
    run(renamed, by_word, state)
    assert by_word.by_key("out") == {"x": [1, 2, 1, 2, 3, 4], "y": [1, 1, 2]}


def test_output_of_a_sink_that_is_gone_is_not_given_up_silently(by_word: Broker, state: Path) -> None:
    run(job_of(by_word, more=True), by_word, state)
    again(by_word)
    with pytest.raises(Crash):
        run(job_of(by_word, more=True), by_word, state, on_step=crash_at("manifest written"))
    without = rf.Job(by_word.name("evolving"))
    keyed = without.stream(by_word.name("in"), key=str, value=str).group_by_key()
    keyed.aggregate(longest=rf.max(len), name="longest").to(by_word.name("other"), name="other-out")
    keyed.count(emit="record", name="counts").to(by_word.name("out"), name="out")
    with pytest.raises(StateWouldBeDropped) as caught:
        run(without, by_word, state)
    assert "longest-out" in caught.value.what
    assert by_word.by_key("out") == {"x": [1, 2], "y": [1]}
    run(without, by_word, state, drop_state=True)
    again(by_word)
    run(without, by_word, state)
    assert by_word.by_key("out") == {"x": [1, 2, 3, 4, 5, 6], "y": [1, 2, 3]}
    assert {key: len(rows) for key, rows in by_word.by_key("longest").items()} == {"x": 1, "y": 1}


class Value(rf.ProcessFunction[str, str, int]):
    seen = rf.value(0)

    def process(self, word: str, ctx: rf.Context) -> list[int]:
        self.seen.set(self.seen.get() + 1)
        return [self.seen.get()]


class List(rf.ProcessFunction[str, str, int]):
    seen: rf.ListState[str] = rf.list()

    def process(self, word: str, ctx: rf.Context) -> list[int]:
        self.seen.append(word)
        return [len(self.seen)]


def test_a_state_whose_kind_has_changed_is_refused_and_may_be_dropped(by_word: Broker, state: Path) -> None:
    def job(function: type[rf.ProcessFunction[str, str, int]]) -> rf.Job:
        job = rf.Job(by_word.name("kinds"))
        words = job.stream(by_word.name("in"), key=str, value=str)
        words.group_by_key().process(function, name="seen").to(by_word.name("out"))
        return job

    run(job(Value), by_word, state)
    again(by_word)
    with pytest.raises(StateKindChanged) as caught:
        run(job(List), by_word, state)
    assert caught.value.code == "RF-4010"
    assert "seen/seen was value and is list now" in caught.value.what
    run(job(List), by_word, state, drop_state=True)
    again(by_word)
    run(job(List), by_word, state)
    assert by_word.by_key("out") == {"x": [1, 2, 1, 2, 3, 4], "y": [1, 1, 2]}


def windows_of(broker: Broker, milliseconds: int) -> rf.Job:
    job = rf.Job(broker.name("windows"))
    words = job.stream(
        broker.name("in"), key=str, value=str, timestamp=lambda word: 7, watermark=rf.bounded(milliseconds=1)
    )
    windows = words.group_by_key().window(rf.tumbling(milliseconds=milliseconds))
    windows.aggregate(n=rf.count(), name="seen", emit="updates").to(broker.name("out"))
    return job


def totals_of(broker: Broker, *columns: str) -> rf.Job:
    job = rf.Job(broker.name("totals"))
    words = job.stream(broker.name("in"), key=str, value=str)
    counts = {column: rf.count() for column in columns}
    words.group_by_key().aggregate(**counts, name="seen", emit="record").to(broker.name("out"))
    return job


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            lambda broker: windows_of(broker, 1000),
            lambda broker: windows_of(broker, 500),
            "seen/windows was windows (1000 ms every 1000 ms: n=count) and is windows (500 ms every 500 ms: n=count)",
        ),
        (
            lambda broker: totals_of(broker, "n"),
            lambda broker: totals_of(broker, "n", "m"),
            "seen/values was value (n=count) and is value (n=count, m=count)",
        ),
    ],
    ids=["windows", "columns"],
)
def test_windows_and_columns_that_have_changed_are_refused_and_may_be_dropped(
    before: Callable[[Broker], rf.Job], after: Callable[[Broker], rf.Job], told: str, by_word: Broker, state: Path
) -> None:
    def counts() -> list[int]:
        return [value["n"] for value in by_word.by_key("out")["x"]]

    run(before(by_word), by_word, state)
    again(by_word)
    with pytest.raises(StateKindChanged) as caught:
        run(after(by_word), by_word, state)
    assert told in caught.value.what
    assert counts() == [1, 2]
    run(after(by_word), by_word, state, drop_state=True)
    assert counts() == [1, 2, 1, 2]
    run(after(by_word), by_word, state)


def test_a_function_that_was_corrected_goes_on_over_the_same_state(by_word: Broker, state: Path) -> None:
    def job(step: int) -> rf.Job:
        job = rf.Job(by_word.name("steps"))
        words = job.stream(by_word.name("in"), key=str, value=str)
        words.group_by_key().fold(0, lambda n, _: n + step, emit="record").to(by_word.name("out"))
        return job

    run(job(1), by_word, state)
    again(by_word)
    run(job(10), by_word, state)
    assert by_word.by_key("out") == {"x": [1, 2, 12, 22], "y": [1, 11]}
