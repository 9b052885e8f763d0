"""At-least-once delivery: records may repeat after a crash, and none is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

import rayflow as rf
from tests.e2e.brokers import Broker
from tests.e2e.jobs import counts, upper
from tests.e2e.processes import Command, arguments_of, job_file
from tests.e2e.running import Crash, crash_at, run
from tests.kafka.client import until

RECORDS = [(f"k{n % 5}", f"w{n}") for n in range(600)]

JOB = """\
import os, signal
import rayflow as rf

TAG = rf.setting("tag", "")
KILL_AT = rf.setting("kill_at", "")

def check(word):
    if word == KILL_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    return word.upper()

job = rf.Job("upper" + TAG, delivery="at_least_once")
job.stream("in" + TAG, key=str, value=str).map(check).to("out" + TAG)
"""


def test_output_appears_without_staging_and_once_when_nothing_fails(broker: Broker, state: Path) -> None:
    broker.create("in", 3)
    broker.append("in", RECORDS)
    progress = run(upper(broker, delivery="at_least_once"), broker, state)
    assert (progress.records_in, progress.records_out) == (600, 600)
    broker.append("in", RECORDS[:5])
    run(upper(broker, delivery="at_least_once"), broker, state)
    assert sorted(broker.values("out")) == sorted([word.upper() for _, word in RECORDS + RECORDS[:5]])


def test_nothing_is_lost_when_the_process_is_killed(broker: Broker, state: Path, tmp_path: Path) -> None:
    broker.create("in", 3)
    broker.append("in", RECORDS[:300])
    file = str(job_file(tmp_path, JOB))
    arguments = arguments_of(broker, state, "--set", "max_poll_records=50")
    first = Command(tmp_path, "run", file, *arguments, "--set", "kill_at=w450")
    until(lambda: broker.exists("out") and len(broker.read("out")) >= 300)
    broker.append("in", RECORDS[300:])
    assert first.wait().code == -9
    assert Command(tmp_path, "run", file, *arguments, "--until-end").wait().code == 0
    found = broker.by_key("out")
    for key in {key for key, _ in RECORDS}:
        expected = [word.upper() for k, word in RECORDS if k == key]
        assert set(found[key]) == set(expected)
        # In order, too, but for what is told again.
        first_seen = list(dict.fromkeys(found[key]))
        assert first_seen == expected


def test_a_job_may_change_from_one_delivery_to_the_other(broker: Broker, state: Path) -> None:
    broker.create("in", 3)
    for number, delivery in enumerate(["exactly_once", "at_least_once", "exactly_once", "exactly_once"], 1):
        broker.append("in", [("a", "x"), ("b", "x")])
        run(counts(broker, delivery=delivery), broker, state)
        assert broker.by_key("out") == {"x": list(range(1, 2 * number + 1))}


def test_what_an_exactly_once_run_left_unpublished_is_published(broker: Broker, state: Path) -> None:
    broker.create("in", 3)
    broker.append("in", [("a", "x"), ("b", "x")])
    with pytest.raises(Crash):
        run(counts(broker), broker, state, on_step=crash_at("manifest written"))
    run(counts(broker, delivery="at_least_once"), broker, state)
    assert broker.by_key("out") == {"x": [1, 2]}


def test_state_is_exact_all_the_same(broker: Broker, state: Path) -> None:
    broker.create("in", 3)
    job = rf.Job(broker.name("counts"), delivery="at_least_once")
    words = job.stream(broker.name("in"), key=str, value=str)
    words.key_by(lambda word: word[:2]).count(name="counts").to(broker.name("out"))
    for _ in range(3):
        broker.append("in", RECORDS)
        run(job, broker, state)
    assert {key: rows[-1] for key, rows in broker.by_key("out").items()} == {
        prefix: 3 * sum(word.startswith(prefix) for _, word in RECORDS) for prefix in {word[:2] for _, word in RECORDS}
    }
