"""Each command against a live cluster, in the order in which a person would use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from rayflow.checkpoint.attempts import newest_attempt
from rayflow.checkpoint.open import open_store
from rayflow.cli.root import cli
from rayflow.core.parameters import provide
from tests.e2e.brokers import Broker
from tests.kafka.client import until
from tests.ray.machines import ROOT, Machines

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

JOB = """\
import rayflow as rf
from parts import split

job = rf.Job("words")
lines = job.stream("lines", value=str, sample=["one two", "two three", "three three"] * 50)
lines.flat_map(split).key_by(lambda word: word).count(name="counts").to("counts")
"""
PARTS = "def split(line):\n    return line.split()\n"

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project, in which the commands are given."""
    (tmp_path / "words.py").write_text(JOB)
    (tmp_path / "parts.py").write_text(PARTS)
    for name in list(os.environ):
        if name.startswith("RAYFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    provide({})


@pytest.fixture
def rayflow(machines: Machines, folder: Path) -> Iterator[Run]:
    """Runs a command line in this process, against the tests' cluster."""

    def invoke(*args: str, ray: str = machines.address) -> Result:
        return CliRunner().invoke(cli, [*args, "--ray", ray], prog_name="rayflow")

    yield invoke
    invoke("stop", "words", "--now")


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def told(rayflow: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ok(rayflow("status", "words", "--json")))
    return found


@pytest.mark.more
@pytest.mark.parametrize("runtime", ["local", "ray"])
def test_a_run_of_a_job_that_runs_on_ray_is_refused_and_costs_it_nothing(
    runtime: str, rayflow: Run, folder: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok(rayflow("submit", "words.py", "--workers", "1", "--cpus", "0.5", "--state", "here"))
    store = open_store(told(rayflow)["checkpoints"])
    assert newest_attempt(store) == 1
    monkeypatch.setenv("RAY_ADDRESS", machines.address)
    again = CliRunner().invoke(cli, ["run", "words.py", "--runtime", runtime, "--state", "here"])
    assert again.exit_code == 1
    assert "RF-4006" in again.stderr
    assert "the job runs on Ray" in again.stderr
    assert newest_attempt(store) == 1
    assert told(rayflow)["attempts"] == 1


@pytest.mark.more
def test_a_job_from_its_submission_to_its_end(rayflow: Run, folder: Path) -> None:
    assert "No jobs" in ok(rayflow("list"))
    given = ("--workers", "2", "--cpus", "0.5", "--state", "here", "--set", "checkpoint_interval=100ms")
    assert ok(rayflow("submit", "words.py", *given)) == "words running: rayflow status words\n"

    taken = rayflow("submit", "words.py", *given)
    assert (taken.exit_code, "RF-6002" in taken.stderr) == (1, True)

    until(lambda: told(rayflow)["lag"] == 0 and told(rayflow)["epoch"] > 0, 120, 0.5)
    status = told(rayflow)
    assert (status["state"], len(status["workers"]), status["records_in"]) == ("running", 2, 150)
    assert sum(len(worker["tasks"]) for worker in status["workers"]) == sum(status["stages"].values())
    shown = ok(rayflow("status", "words"))
    assert "150 in" in shown
    assert str(status["pid"]) in shown
    assert [job["name"] for job in json.loads(ok(rayflow("list", "--json")))] == ["words"]
    assert "words" in ok(rayflow("list"))

    lines = [json.loads(line) for line in ok(rayflow("logs", "words")).splitlines()]
    assert sum(line["message"] == "a worker is ready" for line in lines) == 2
    assert {line["job"] for line in lines} == {"words"}

    assert ok(rayflow("rescale", "words", "--workers", "1")).startswith("words runs with 1 worker")
    assert ok(rayflow("savepoint", "words", "file:first")).endswith(f"written to file:{folder / 'first'}\n")
    twice = rayflow("savepoint", "words", "file:first")
    assert (twice.exit_code, "already contains a savepoint" in twice.stderr) == (1, True)

    stopped = ok(rayflow("stop", "words", "--drain", "--savepoint", "file:last"))
    assert stopped.startswith("words done at epoch ")
    assert "No jobs" in ok(rayflow("list"))
    broker = Broker(f"embedded:{folder / 'here' / 'log'}", tag="")
    assert {key: values[-1] for key, values in broker.by_key("counts").items()} == {
        "one": 50,
        "two": 100,
        "three": 150,
    }
    broker.close()


@pytest.mark.more
def test_a_bounded_job_is_waited_for(rayflow: Run) -> None:
    told = ok(rayflow("submit", "words.py", "--workers", "1", "--state", "here", "--until-end", "--wait"))
    assert told.endswith("words done: 150 records in, 300 out\n") or " out\n" in told
    assert ok(rayflow("stop", "words")) == "words removed from the cluster\n"


@pytest.mark.parametrize(
    "command",
    [("status", "nobody"), ("logs", "nobody"), ("stop", "nobody"), ("rescale", "nobody", "--workers", "2")],
    ids=lambda command: command[0],
)
def test_a_job_that_is_not_there_is_told(command: tuple[str, ...], rayflow: Run) -> None:
    result = rayflow(*command)
    assert (result.exit_code, "RF-6003" in result.stderr) == (2, True)


def test_a_wrong_address_is_told(rayflow: Run) -> None:
    result = rayflow("list", ray="127.0.0.1:1")
    assert (result.exit_code, "RF-6001" in result.stderr) == (3, True)


def test_a_store_that_belongs_to_one_process_is_refused(rayflow: Run) -> None:
    result = rayflow("submit", "words.py", "--checkpoints", "memory:x")
    assert (result.exit_code, "belongs to one process" in result.stderr) == (2, True)


def started(folder: Path, *args: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "rayflow.cli", "run", "words.py", "--runtime", "ray", *args]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def counted(folder: Path) -> dict[str, int]:
    broker = Broker(f"embedded:{folder / 'rayflow-data' / 'log'}", tag="")
    found = {key: values[-1] for key, values in broker.by_key("counts").items()}
    broker.close()
    return found


@pytest.mark.more
def test_a_run_on_a_ray_of_its_own_ends_with_everything_published(folder: Path) -> None:
    process = started(folder, "--workers", "2", "--until-end")
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert counted(folder) == {"one": 50, "two": 100, "three": 150}


@pytest.mark.more
def test_ctrl_c_stops_a_run_on_ray_and_leaves_no_process(folder: Path) -> None:
    process = started(folder, "--workers", "1", "--set", "checkpoint_interval=100ms")
    assert process.stderr is not None
    for text in process.stderr:
        line = json.loads(text) if text.startswith("{") else {}
        if line.get("message") == "progress" and line["state"] == "running":
            break
    else:
        raise AssertionError("it never ran")
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "job stopped" in err
    _, alive = psutil.wait_procs(children, 60)
    assert not alive


def test_flags_of_one_runtime_are_refused_by_the_other(folder: Path) -> None:
    for args in (("--workers", "2"), ("--runtime", "ray", "--metrics-port", "0")):
        result = CliRunner().invoke(cli, ["run", "words.py", *args], prog_name="rayflow")
        assert result.exit_code == 2
