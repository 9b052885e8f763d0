"""After an upgrade has moved states between stages, checkpoints and savepoints hold all of them, and no more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import rayflow as rf
from tests.e2e.brokers import Broker
from tests.e2e.running import Crash, crash_at, run

Shape = Callable[[Broker], rf.Job]
Rebuild = Callable[[Shape, Broker, Path], Path]


def alone(broker: Broker) -> rf.Job:
    """Counts in the second stage."""
    job = rf.Job(broker.name("evolving"))
    counts(broker, job.stream(broker.name("in"), key=str, value=str).key_by(str))
    return job


def behind(broker: Broker) -> rf.Job:
    """Counts in a later stage: another one, with state of its own, has taken the second's place."""
    job = rf.Job(broker.name("evolving"))
    other = job.stream(broker.name("other"), key=str, value=str).key_by(str)
    other.count(emit="record", name="others").to(broker.name("others"), name="others-out")
    counts(broker, job.stream(broker.name("in"), key=str, value=str).key_by(str))
    return job


def together(broker: Broker) -> rf.Job:
    """Counts and sizes in one stage."""
    job = rf.Job(broker.name("evolving"))
    words = job.stream(broker.name("in"), key=str, value=str).key_by(str, name="first")
    counts(broker, words)
    sizes(broker, words)
    return job


def first_only(broker: Broker) -> rf.Job:
    """Counts in the stage where sizes were too."""
    job = rf.Job(broker.name("evolving"))
    counts(broker, job.stream(broker.name("in"), key=str, value=str).key_by(str, name="first"))
    return job


def apart(broker: Broker) -> rf.Job:
    """Counts and sizes in stages of their own."""
    job = rf.Job(broker.name("evolving"))
    words = job.stream(broker.name("in"), key=str, value=str)
    sizes(broker, words.key_by(str, name="second"))
    counts(broker, words.key_by(str, name="first"))
    return job


def counts(broker: Broker, words: rf.KeyedStream[str, str]) -> None:
    words.count(emit="record", name="counts").to(broker.name("out"), name="out")


def sizes(broker: Broker, words: rf.KeyedStream[str, str]) -> None:
    sized = words.fold(0, lambda total, word: total + len(word), emit="record", name="sizes")
    sized.to(broker.name("sizes"), name="sizes-out")


def on_another_machine(shape: Shape, broker: Broker, state: Path) -> Path:
    """The local stores are lost."""
    shutil.rmtree(tasks_of(broker, state))
    return state


def through_a_savepoint(shape: Shape, broker: Broker, state: Path) -> Path:
    """The job moves with a savepoint to another state directory."""
    elsewhere = state.with_name(state.name + "-")
    uri = f"file:{elsewhere / 'savepoint'}"
    run(shape(broker), broker, state, savepoint_at_stop=uri)
    run(shape(broker), broker, elsewhere, from_savepoint=uri)
    return elsewhere


def tasks_of(broker: Broker, state: Path) -> Path:
    return state / "jobs" / broker.name("evolving") / "tasks"


@pytest.fixture
def words(embedded: Broker) -> Broker:
    embedded.create("in", 3)
    embedded.create("other", 3)
    return embedded


def feed(broker: Broker, words: str) -> None:
    """Each round leaves out words of others: what it does not touch must be found in what was there before."""
    for topic in ("in", "other"):
        broker.append(topic, [(word, word) for word in words])


@pytest.mark.parametrize("rebuild", [on_another_machine, through_a_savepoint])
@pytest.mark.parametrize(("before", "after"), [(alone, behind), (behind, behind), (apart, together), (together, apart)])
def test_what_an_upgrade_has_moved_is_found_again(
    before: Shape, after: Shape, rebuild: Rebuild, words: Broker, state: Path
) -> None:
    feed(words, "xyxz")
    run(before(words), words, state)
    feed(words, "y")
    run(after(words), words, state)
    for letters in ("x", "z"):
        state = rebuild(after, words, state)
        feed(words, letters)
        run(after(words), words, state)
    expected = {"x": [1, 2, 3], "y": [1, 2], "z": [1, 2]}
    assert words.by_key("out") == expected
    assert words.by_key("others" if after is behind else "sizes") == expected


@pytest.mark.parametrize("step", ["after WriteBase", "base written", "segment written", "manifest written"])
def test_a_crash_in_the_first_epoch_after_an_upgrade_loses_nothing_either(
    step: str, words: Broker, state: Path
) -> None:
    feed(words, "xyx")
    run(apart(words), words, state)
    feed(words, "y")
    with pytest.raises(Crash):
        run(together(words), words, state, on_step=crash_at(step))
    run(together(words), words, state)
    feed(words, "x")
    run(together(words), words, on_another_machine(together, words, state))
    assert words.by_key("out") == words.by_key("sizes") == {"x": [1, 2, 3], "y": [1, 2]}


@pytest.mark.parametrize("rebuild", [on_another_machine, through_a_savepoint])
def test_dropped_state_does_not_come_back(rebuild: Rebuild, words: Broker, state: Path) -> None:
    feed(words, "xyx")
    run(together(words), words, state)
    feed(words, "y")
    run(first_only(words), words, state, drop_state=True)
    state = rebuild(first_only, words, state)
    feed(words, "x")
    run(first_only(words), words, state)
    state = rebuild(first_only, words, state)
    feed(words, "xy")
    run(together(words), words, state)
    assert words.by_key("out") == {"x": [1, 2, 3, 4], "y": [1, 2, 3]}
    assert words.by_key("sizes") == {"x": [1, 2, 1], "y": [1, 1]}


def test_a_local_store_from_before_its_stages_name_was_anothers_is_not_brought_forward(
    words: Broker, state: Path, tmp_path: Path
) -> None:
    def job(*, between: bool) -> rf.Job:
        job = rf.Job(words.name("evolving"))
        stream = job.stream(words.name("in"), key=str, value=str)
        sizes(words, stream.key_by(str, name="first"))  # always the second stage, so it keeps the old segments
        if between:
            stream.key_by(str, name="second").count(name="others").to(words.name("others"), name="others-out")
        counts(words, stream.key_by(str, name="third"))
        return job

    many = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))  # so that a base is larger than the deltas before it
    feed(words, "xyx" + many)
    run(job(between=False), words, state)
    shutil.copytree(tasks_of(words, state), tmp_path / "old machine")
    feed(words, "x")
    run(job(between=True), words, state)
    feed(words, "y")
    run(job(between=False), words, state, drop_state=True)
    shutil.rmtree(tasks_of(words, state))
    shutil.copytree(tmp_path / "old machine", tasks_of(words, state))
    feed(words, "xy")
    run(job(between=False), words, state)
    assert {word: words.by_key("out")[word] for word in "xy"} == {"x": [1, 2, 3, 4], "y": [1, 2, 3]}


class Value(rf.ProcessFunction[str, str, int]):
    seen = rf.value(0)

    def process(self, word: str, ctx: rf.Context) -> list[int]:
        self.seen.set(self.seen.get() + 1)
        return [self.seen.get()]


class Entries(rf.ProcessFunction[str, str, int]):
    seen: rf.MapState[str, int] = rf.map()

    def process(self, word: str, ctx: rf.Context) -> list[int]:
        times = (self.seen.get(word) or 0) + 1
        self.seen.set(word, times)
        return [times]


def test_a_state_of_another_kind_leaves_nothing_of_the_old_one(words: Broker, state: Path) -> None:
    def job(function: type[rf.ProcessFunction[str, str, int]]) -> rf.Job:
        job = rf.Job(words.name("evolving"))
        keyed = job.stream(words.name("in"), key=str, value=str).key_by(str)
        keyed.process(function, name="seen").to(words.name("out"), name="out")
        return job

    feed(words, "xyx")
    run(job(Value), words, state)
    for function in (Entries, Value):
        feed(words, "xyx")
        run(job(function), words, state, drop_state=True)
    assert words.by_key("out") == {"x": [1, 2, 1, 2, 1, 2], "y": [1, 1, 1]}
