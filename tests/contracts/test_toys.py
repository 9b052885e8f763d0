"""A connector needs only the parts that its system has: a read-only and a write-only one, alone and in a whole job."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.core.errors import ConnectorCannot, EncodeFailed
from rayflow.core.ids import SinkTask
from rayflow.core.topics import ConnectorSpec, TopicRef
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.hosting.sinks import Sinks
from rayflow.runtimes.local.runtime import LocalRuntime
from rayflow.runtimes.machine.connectors import OpenConnectors
from tests.contracts.connector_publishing import AppendContract
from tests.contracts.connector_reading import ReadContract
from tests.contracts.connector_records import Fill, MakeTopic, Values, line
from tests.contracts.toys import FED, SENT, Feed, Outbox, register

IN, OUT = TopicRef("in", ConnectorSpec("feed:")), TopicRef("out", ConnectorSpec("outbox:"))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


class TestFeed(ReadContract):
    @pytest.fixture
    def make_connector(self) -> object:
        return lambda: Feed("feed:", {})

    @pytest.fixture
    def fill(self) -> Fill:
        def make(partitions: Sequence[Sequence[int]]) -> str:
            name = uuid.uuid4().hex
            FED[name] = [list(map(line, numbers)) for numbers in partitions]
            return name

        return make


class TestOutbox(AppendContract):
    @pytest.fixture
    def make_connector(self) -> object:
        return lambda: Outbox("outbox:", {})

    @pytest.fixture
    def topic(self) -> MakeTopic:
        return lambda partitions=1: uuid.uuid4().hex

    @pytest.fixture
    def values(self) -> Values:
        return lambda topic: SENT.get(topic, [])


def run(job: rf.Job, tmp_path: Path, broker: str | None = None) -> None:
    """Run a job up to the end of what there is."""
    LocalRuntime(plan_of(job), RunOptions(broker=broker, state=tmp_path, until_end=True)).run()


def shout(source: str | TopicRef = IN, sink: str | TopicRef = OUT, delivery: str = "at_least_once") -> rf.Job:
    """A job from the one to the other."""
    job = rf.Job("shout", delivery=delivery)
    job.stream(source, value=str, name="in").map(str.upper).to(sink, value=str, name="out")
    return job


def test_a_job_reads_the_one_and_writes_the_other(tmp_path: Path) -> None:
    FED["in"] = [[b"one", b"two"], [b"three"]]
    run(shout(), tmp_path)
    assert sorted(SENT["out"]) == [b"ONE", b"THREE", b"TWO"]
    FED["in"][1].append(b"four")
    run(shout(), tmp_path)
    assert sorted(SENT["out"]) == [b"FOUR", b"ONE", b"THREE", b"TWO"]


def test_the_broker_of_a_run_may_be_one_that_is_only_read(tmp_path: Path) -> None:
    FED["in"] = [[b"one"]]
    run(shout("in"), tmp_path, "feed:")
    assert SENT["out"] == [b"ONE"]


def test_what_a_sink_cannot_hold_is_an_error_of_its_record(tmp_path: Path) -> None:
    FED["in"] = [[b"short", b"long" * 30]]
    for sink, broker in ((OUT, None), ("out", "outbox:")):
        with pytest.raises(EncodeFailed, match="too long") as failed:
            run(shout(sink=sink), tmp_path, broker)
        assert failed.value.where == {"job": "shout", "operator": "out", "topic": "in", "partition": 0, "offset": 1}


@pytest.mark.parametrize(
    ("job", "where", "says"),
    [
        (shout(sink=IN), {"operator": "out", "topic": "in"}, "feed: topics can be read, not written by a job"),
        (shout(OUT), {"operator": "in", "topic": "out"}, "outbox: topics can be written by a job, not read"),
        (shout(delivery="exactly_once"), {"operator": "out", "topic": "out"}, "do not support exactly-once delivery"),
    ],
    ids=["write", "read", "exactly once"],
)
def test_a_job_that_asks_too_much_of_a_connector_does_not_compile(
    job: rf.Job, where: dict[str, str], says: str
) -> None:
    with pytest.raises(ConnectorCannot, match=says) as refused:
        plan_of(job)
    assert refused.value.where == where
    assert "test_toys.py:" in refused.value.what


def test_no_marker_is_looked_for_where_none_is_kept() -> None:
    """The job has been exactly once before, with its sink elsewhere."""
    sinks = Sinks(plan_of(shout()), OpenConnectors(ConnectorSpec("outbox:")))
    assert sinks.open(0, [SinkTask("out", 0)]) == {SinkTask("out", 0): None}


def test_dead_letters_are_written_as_well() -> None:
    job = rf.Job("shout", delivery="at_least_once")
    job.stream(IN, value=str, on_error=rf.dead_letter(IN)).to(OUT)
    with pytest.raises(ConnectorCannot, match="feed: topics can be read, not written by a job"):
        plan_of(job)


@pytest.mark.parametrize(
    ("job", "broker", "says"),
    [
        (shout(sink="out"), "feed:", "feed: topics can be read, not written by a job"),
        (shout("in"), "outbox:", "outbox: topics can be written by a job, not read"),
        (shout(sink="out", delivery="exactly_once"), "outbox:", "do not support exactly-once delivery"),
    ],
    ids=["write", "read", "exactly once"],
)
def test_a_run_on_a_broker_that_cannot_do_it_reads_no_record(
    job: rf.Job, broker: str, says: str, tmp_path: Path
) -> None:
    FED["in"] = [[b"one"]]
    with pytest.raises(ConnectorCannot, match=says):
        run(job, tmp_path, broker)
    assert SENT == {}
