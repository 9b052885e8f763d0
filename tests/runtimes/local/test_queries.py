"""Another process queries the tables of a run in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rayflow as rf
from rayflow.core.errors import InvalidSetting, JobNotFound, KeyNotUsable, WorkerLost
from rayflow.runtimes.hosting.queries import KEY_BYTES
from rayflow.runtimes.local import server
from rayflow.runtimes.local.control import local_job
from tests.e2e.brokers import Broker
from tests.e2e.running import Running
from tests.kafka.client import until

ROOT = Path(__file__).parents[3]
ASK = """
import json, sys
from pathlib import Path
from rayflow.runtimes.local.control import local_job

job = local_job(Path(sys.argv[1]), "tables")
print(json.dumps([job.query("totals", [("x", 1), ("y", 1), ("z", 1)]), job.query("newest", [b"a", b"b"])]))
"""


class Word(rf.Record):
    text: str


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(f"embedded:{tmp_path / 'log'}", tag="")
    broker.create("in", 3)
    broker.append("in", [("a", "x"), ("b", "y"), ("c", "x")])
    yield broker
    broker.close()


def tables() -> rf.Job:
    job = rf.Job("tables")
    words = job.stream("in", key=bytes, value=str)
    words.group_by_key().map(Word).to_table(name="newest").to("newest")
    words.key_by(lambda word: (word, 1)).count(name="totals").to("totals")
    return job


def test_another_process_gets_plain_data_without_the_job_file(broker: Broker, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Running(tables(), broker, state) as running:
        running.until(lambda status: status.records_in == 3)
        job = local_job(state, "tables")
        until(lambda: job.query("totals", [("x", 1)]) == [2], 60)
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(state)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        assert json.loads(done.stdout) == [[2, 1, None], [{"text": "x"}, {"text": "y"}]]
        broker.append("in", [("a", "y")])
        until(lambda: job.query("newest", [b"a"]) == [{"text": "y"}], 60)
        assert job.query("newest", [b"x" * (KEY_BYTES - 10)]) == [None]
        with pytest.raises(InvalidSetting) as raised:
            job.query("total", ["x"])
        assert raised.value.advice == "Operators with a table to query: newest, totals"
        with pytest.raises(KeyNotUsable):
            job.query("totals", [["x", 1]])
        running.stop()
        with pytest.raises(JobNotFound):
            job.query("totals", [("x", 1)])


def test_a_run_that_does_not_process_records_says_so(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWERED", 0.0)
    asked: list[Exception] = []
    state = tmp_path / "state"

    def on_step(name: str) -> None:
        """The run stands still while it is asked."""
        if name == "before ClaimAttempt":
            with pytest.raises(WorkerLost, match="its state is") as raised:
                local_job(state, "tables").query("totals", [("x", 1)])
            asked.append(raised.value)

    with Running(tables(), broker, state, on_step=on_step) as running:
        running.until(lambda status: status.records_in == 3)
    assert len(asked) == 1


def test_a_query_that_comes_early_waits_for_the_run(broker: Broker, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Running(tables(), broker, state, checkpoint_interval=3_600_000) as running:
        until(lambda: (state / "jobs" / "tables" / "control" / "socket").exists(), 60)
        assert local_job(state, "tables").query("totals", [("nothing", 1)]) == [None]
        running.until(lambda status: status.records_in == 3)
