"""Records that do not decode, and functions of the job file that raise: a clear error, nothing lost, no value told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rayflow as rf
from rayflow.core.errors import DecodeFailed, RayflowError, UserFunctionFailed, ValueNotCarried
from tests.e2e.brokers import Broker
from tests.e2e.processes import Command, arguments_of, job_file
from tests.e2e.running import run

SECRET = "hunter2-the-value"


class Sale(rf.Record):
    id: int
    user: str


class Total(rf.Record):
    key: str
    count: int


GOOD = [("a", {"id": 1, "user": "ann"}), ("a", {"id": 2, "user": "bob"}), ("a", {"id": 3, "user": "ann"})]
BAD = ("a", b'{"id": "' + SECRET.encode() + b'"}')


def sales(broker: Broker, on_error: Any) -> rf.Job:
    """Counts the sales of each user."""
    job = rf.Job(broker.name("sales"))
    stream = job.stream(broker.name("in"), key=str, value=Sale, on_error=on_error)
    stream.key_by(lambda sale: sale.user).aggregate(count=rf.count(), into=Total, emit="record").to(broker.name("out"))
    return job


def counted(broker: Broker) -> dict[str, list[int]]:
    return {user: [row["count"] for row in rows] for user, rows in broker.by_key("out").items()}


@pytest.fixture
def with_bad(broker: Broker) -> Broker:
    """A topic whose record at position 2 does not decode."""
    broker.create("in")
    broker.append("in", [*GOOD[:2], BAD, GOOD[2]])
    return broker


def test_a_record_that_does_not_decode_stops_the_job_and_nothing_is_lost(with_bad: Broker, state: Path) -> None:
    broker = with_bad
    for _ in range(2):
        with pytest.raises(DecodeFailed) as caught:
            run(sales(broker, rf.stop), broker, state)
        error = caught.value
        assert (error.code, error.topic, error.partition, error.offset) == ("RF-2001", broker.name("in"), 0, 2)
        assert (error.job, error.operator) == (broker.name("sales"), "stream-1")
        assert SECRET not in str(error)
    assert run(sales(broker, rf.skip), broker, state).errors == 1
    assert counted(broker) == {"ann": [1, 2], "bob": [1]}


def test_a_dead_letter_is_the_record_as_it_was_with_reason_and_origin(with_bad: Broker, state: Path) -> None:
    broker = with_bad
    job = sales(broker, rf.dead_letter(broker.name("dead")))
    assert run(job, broker, state).errors == 1
    assert counted(broker) == {"ann": [1, 2], "bob": [1]}
    (dead,) = broker.read("dead")
    assert (dead.key, dead.value) == (b"a", BAD[1])
    assert dead.headers["rayflow.error"] == b"RF-2001"
    assert dead.headers["rayflow.operator"] == b"stream-1"
    assert dead.headers["rayflow.topic"] == broker.name("in").encode()
    assert dead.headers["rayflow.partition"] == b"0"
    assert dead.headers["rayflow.offset"] == b"2"
    assert dead.headers["rayflow.reason"]
    broker.append("in", [BAD, GOOD[0]])
    run(job, broker, state)
    assert [record.headers["rayflow.offset"] for record in broker.read("dead")] == [b"2", b"4"]
    assert counted(broker) == {"ann": [1, 2, 3], "bob": [1]}


def fails(value: Any) -> Any:
    """What users write: an error with the value in it."""
    if SECRET in str(value):
        raise ValueError(f"cannot handle {value}")
    return value


class Careful(rf.ProcessFunction[str, str, str]):
    def process(self, value: str, ctx: rf.Context) -> list[str]:
        return [fails(value)]


class Later(rf.ProcessFunction[str, str, str]):
    last = rf.value("")

    def process(self, value: str, ctx: rf.Context) -> None:
        self.last.set(value)
        ctx.timer_at(ctx.timestamp)

    def on_timer(self, at: int, ctx: rf.Context) -> list[str]:
        return [fails(self.last.get())]


Build = Callable[[rf.Stream[str, str], str], None]

FAILING: dict[str, Build] = {
    "map": lambda s, out: s.map(fails, name="it").to(out),
    "filter": lambda s, out: s.filter(fails, name="it").to(out),
    "flat_map": lambda s, out: s.flat_map(lambda v: [fails(v)], name="it").to(out),
    "peek": lambda s, out: s.peek(fails, name="it").to(out),
    "split": lambda s, out: s.split(name="it", one=fails)["one"].to(out),
    "key_by": lambda s, out: s.key_by(fails, name="it").count().to(out),
    "process": lambda s, out: s.key_by(lambda v: "k").process(Careful, name="it").to(out),
    "timer": lambda s, out: s.key_by(lambda v: "k").process(Later, name="it").to(out),
    "aggregate": lambda s, out: s.key_by(lambda v: "k").aggregate(last=rf.max(fails), name="it").to(out),
    "window": lambda s, out: (
        s.key_by(lambda v: "k").window(rf.tumbling(minutes=1)).aggregate(last=rf.max(fails), name="it").to(out)
    ),
    "fold": lambda s, out: s.key_by(lambda v: "k").fold("", lambda a, v: fails(v), name="it").to(out),
    "sink headers": lambda s, out: s.to(out, headers=lambda v: [("h", fails(v).encode())], name="it"),
    "sink timestamp": lambda s, out: s.to(out, timestamp=lambda v: len(fails(v)), name="it"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_function_that_raises_stops_the_job_with_its_place_and_line(
    kind: str, embedded: Broker, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = embedded
    broker.create("in", 2)
    broker.append("in", [("a", "fine", 1), ("a", SECRET, 2)])
    job = rf.Job(broker.name("failing"))
    FAILING[kind](job.stream(broker.name("in"), key=str, value=str), broker.name("out"))
    with caplog.at_level(logging.DEBUG), pytest.raises(UserFunctionFailed) as caught:
        run(job, broker, state)
    error = caught.value
    assert (error.code, error.job, error.operator) == ("RF-2002", job.name, "it")
    if kind != "timer":
        assert (error.topic, error.offset) == (broker.name("in"), 1)
    assert error.partition is not None
    assert "ValueError" in error.what
    assert f"{Path(__file__).name}:" in error.what
    assert "in fails" in error.what
    assert SECRET not in str(error)
    assert SECRET not in caplog.text


JOB = """\
import rayflow as rf

TAG = rf.setting("tag", "")

def check(text):
    if "hunter2" in text:
        raise ValueError(f"cannot handle {text}")
    return text

job = rf.Job("failing" + TAG)
lines = job.stream("in" + TAG, key=str, value=str)
lines.key_by(lambda text: text[0]).map(check, name="checked").to("out" + TAG)
"""


def test_a_process_that_fails_tells_the_place_and_never_the_value(broker: Broker, state: Path, tmp_path: Path) -> None:
    broker.create("in", 2)
    broker.append("in", [("a", "fine"), ("a", SECRET), ("a", "well")])
    file = job_file(tmp_path, JOB)
    arguments = [*arguments_of(broker, state), "--until-end", "--log-level", "debug"]
    ended = Command(tmp_path, "run", str(file), *arguments).wait()
    assert ended.code == 1
    line = ended.failure
    assert (line["code"], line["operator"], line["offset"]) == ("RF-2002", "checked", 1)
    assert (line["topic"], line["job"]) == (broker.name("in"), broker.name("failing"))
    assert line["partition"] in (0, 1)
    assert line["message"] == "ValueError at job.py:7 in check"
    assert SECRET not in ended.out + ended.err
    job_file(tmp_path, JOB.replace("check, name", "check, on_error=rf.skip, name"))
    assert Command(tmp_path, "run", str(file), *arguments).wait().code == 0
    assert sorted(broker.values("out")) == ["fine", "well"]


class Opaque:
    """Nothing that the codec knows."""

    def __repr__(self) -> str:
        return SECRET


class Keeper(rf.ProcessFunction[str, str, str]):
    kept = rf.value(None)

    def process(self, value: str, ctx: rf.Context) -> list[str]:
        self.kept.set(Opaque() if value == "bad" else value)  # type: ignore[arg-type]
        return [value]


@pytest.mark.parametrize(
    ("build", "operator"),
    [
        (
            lambda s, out: s.map(lambda v: Opaque() if v == "bad" else v).key_by(lambda v: "k").map(str).to(out),
            "key_by-1",
        ),
        (lambda s, out: s.key_by(lambda v: "k").process(Keeper, name="keeper").to(out), "keeper"),
    ],
    ids=["exchange", "state"],
)
def test_a_value_that_the_codec_cannot_carry_is_refused_with_operator_and_type(
    build: Build, operator: str, embedded: Broker, state: Path
) -> None:
    broker = embedded

    def job() -> rf.Job:
        job = rf.Job(broker.name("opaque"))
        source = job.stream(broker.name("in"), key=str, value=str)
        build(source.filter(lambda v: v != left_out, name="chosen"), broker.name("out"))
        return job

    broker.create("in")
    broker.append("in", [("a", "one"), ("a", "two"), ("a", "bad")])
    left_out = ""
    with pytest.raises(RayflowError) as caught:
        run(job(), broker, state)
    error = caught.value
    assert isinstance(error, ValueNotCarried)
    assert error.code == "RF-2003"
    assert "Opaque" in error.what
    assert operator in str(error)
    assert SECRET not in str(error)
    left_out = "bad"
    run(job(), broker, state)
    assert broker.values("out") == ["one", "two"]


def test_what_is_probably_a_mistake_is_logged_once_for_all_tasks(
    embedded: Broker, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedded.create("in", 3)
    embedded.append("in", [(name, [name]) for name in "abcdefgh"])
    job = rf.Job(embedded.name("nothing"))
    job.stream(embedded.name("in"), key=str).map(lambda value: value.clear()).to(embedded.name("out"))
    run(job, embedded, state)
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "map() returned None" in str(warning.msg)
    assert "operator=map-1" in str(warning.msg)


def test_nan_goes_to_on_error_of_the_sink_unless_its_serde_is_told_to_write_null(embedded: Broker, state: Path) -> None:
    embedded.create("in")
    embedded.append("in", [("a", {"of": 0}), ("b", {"of": 2})])
    job = rf.Job(embedded.name("ratios"))
    ratios = job.stream(embedded.name("in"), key=str).map(lambda v: {"ratio": 1 / v["of"] if v["of"] else float("nan")})
    ratios.to(embedded.name("out"), on_error=rf.dead_letter(embedded.name("dead")))
    ratios.to(embedded.name("nulls"), value=rf.json(nan="null"))
    assert run(job, embedded, state).errors == 1
    assert embedded.by_key("out") == {"b": [{"ratio": 0.5}]}
    assert embedded.by_key("nulls") == {"a": [{"ratio": None}], "b": [{"ratio": 0.5}]}
    [dead] = embedded.read("dead")
    assert (dead.headers["rayflow.error"], dead.json) == (b"RF-2004", {"ratio": None})
