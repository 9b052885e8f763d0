"""list, status, logs, stop, savepoint and rescale of a run on this machine, without Ray."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import rayflow as rf
from tests.cli.conftest import JOBS, log_lines
from tests.e2e.brokers import Broker
from tests.e2e.running import Running
from tests.kafka.client import until as until_met

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]

WORDS = """\
import rayflow as rf

job = rf.Job("words")
lines = job.stream("lines", value=str, sample=["one two", "two three", "three three"])
lines.flat_map(str.split).key_by(lambda word: word).count(name="counts").to("counts")
"""
COUNTED = {"one": [1], "two": [2], "three": [3]}


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is not installed."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def words(started: Start, own_folder: Path, rayflow: Run) -> Iterator[subprocess.Popen[str]]:
    """The job, running as a process of its own, once it has counted everything."""
    (own_folder / "words.py").write_text(WORDS)
    process = started("run", "words.py", "--set", "checkpoint_interval=100ms", stderr=subprocess.PIPE)

    def counted() -> bool:
        assert process.poll() is None, process.communicate()
        result = rayflow("status", "words", "--json")
        return result.exit_code == 0 and json.loads(result.stdout)["records_out"] == 3

    until_met(counted, 60, 0.1)
    return process


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result: Result, exit_code: int) -> dict[str, Any]:
    """The last log line of a command that fails."""
    assert result.exit_code == exit_code, result.output
    return log_lines(result.stderr)[-1]


def test_a_run_is_listed_and_shown(words: subprocess.Popen[str], rayflow: Run, own_folder: Path) -> None:
    (listed,) = json.loads(ok(rayflow("list", "--json")))
    shown = json.loads(ok(rayflow("status", "words", "--json")))
    assert listed.keys() == shown.keys()
    assert (shown["name"], shown["state"], shown["runtime"], shown["pid"]) == ("words", "running", "local", words.pid)
    assert (shown["records_in"], shown["records_out"], shown["target"]) == (3, 3, "words.py")
    header, row = ok(rayflow("list")).splitlines()
    assert header.split()[:4] == ["JOB", "STATE", "RUNTIME", "WORKERS"]
    assert row.split()[:4] == ["words", "running", "local", "1"]
    text = ok(rayflow("status", "words"))
    assert f"process {words.pid}" in text
    assert "3 in, 3 out, 0 failed" in text
    assert ok(rayflow("list", "--state", str(own_folder / "elsewhere"))).startswith("No jobs.")


def test_its_log_is_printed(words: subprocess.Popen[str], rayflow: Run) -> None:
    lines = log_lines(ok(rayflow("logs", "words")))
    assert {line["job"] for line in lines} == {"words"}
    assert "progress" in {line["message"] for line in lines}


def test_the_log_of_a_run_on_a_terminal_has_its_progress_too(started: Start, rayflow: Run, own_folder: Path) -> None:
    (own_folder / "words.py").write_text(WORDS)
    terminal, side = pty.openpty()
    process = started("run", "words.py", "--set", "checkpoint_interval=100ms", stderr=side, stdout=side)
    os.close(side)

    def logged() -> bool:
        result = rayflow("logs", "words")
        lines = log_lines(result.stdout) if result.exit_code == 0 else []
        return ("progress", "running") in {(line["message"], line.get("state")) for line in lines}

    until_met(logged, 60, 0.1)
    process.send_signal(signal.SIGINT)
    shown = b""
    with suppress(OSError):  # Linux says EIO when the other side has closed
        while chunk := os.read(terminal, 4_096):
            shown += chunk
    os.close(terminal)
    assert process.wait(30) == 0
    assert b"progress" not in shown


def test_its_log_is_followed_to_the_end(words: subprocess.Popen[str], started: Start, rayflow: Run) -> None:
    following = started("logs", "words", "--follow")
    assert following.stdout is not None
    assert "words" in following.stdout.readline()
    ok(rayflow("savepoint", "words", "file:one"))
    for line in following.stdout:
        if json.loads(line)["message"] == "savepoint written":
            break
    else:
        raise AssertionError("the savepoint was not logged")
    ok(rayflow("stop", "words"))
    following.communicate(timeout=30)
    assert following.returncode == 0


def test_a_stop_publishes_everything_and_its_savepoint_starts_the_next_run(
    words: subprocess.Popen[str], rayflow: Run, started: Start, own_folder: Path
) -> None:
    saved = ok(rayflow("savepoint", "words", "file:first"))
    assert saved.endswith(f" written to file:{own_folder / 'first'}\n")
    assert "already contains a savepoint" in refused(rayflow("savepoint", "words", "file:first"), 1)["message"]
    told = ok(rayflow("stop", "words", "--savepoint", "file:last"))
    assert told.startswith("words stopped at epoch ")
    assert told.endswith(f", savepoint file:{own_folder / 'last'}\n")
    assert words.wait(30) == 0
    broker = Broker(f"embedded:{own_folder / 'rayflow-data' / 'log'}", tag="")
    assert broker.by_key("counts") == COUNTED
    broker.close()
    for uri in ("file:first", "file:last"):
        given = ("--from-savepoint", uri, "--state", uri[5:] + "-state", "--broker", "embedded:rayflow-data/log")
        process = started("run", "words.py", "--until-end", *given)
        assert process.wait(60) == 0, process.communicate()


def test_a_drain_ends_it_for_good(words: subprocess.Popen[str], rayflow: Run) -> None:
    assert ok(rayflow("stop", "words", "--drain")).startswith("words done at epoch ")
    assert words.wait(30) == 0


def test_it_can_be_ended_at_once(words: subprocess.Popen[str], rayflow: Run) -> None:
    assert ok(rayflow("stop", "words", "--now")) == "words stopped at once\n"
    assert words.wait(30) == 0
    assert refused(rayflow("stop", "words"), 2)["code"] == "RF-6003"


def test_it_is_not_rescaled(words: subprocess.Popen[str], rayflow: Run) -> None:
    line = refused(rayflow("rescale", "words", "--workers", "2"), 2)
    assert "one worker" in line["message"]


def test_a_signal_stops_it_as_before(words: subprocess.Popen[str]) -> None:
    words.send_signal(signal.SIGINT)
    _, err = words.communicate(timeout=30)
    assert words.returncode == 0
    assert log_lines(err)[-1]["message"] == "job stopped"


def test_a_killed_run_does_not_show_and_starts_again(
    words: subprocess.Popen[str], rayflow: Run, started: Start
) -> None:
    words.send_signal(signal.SIGKILL)
    words.wait()
    assert ok(rayflow("list")).startswith("No jobs.")
    line = refused(rayflow("status", "words"), 2)
    assert line["code"] == "RF-6003"
    assert str(Path("rayflow-data").absolute()) in line["advice"]
    process = started("run", "words.py", "--until-end")
    assert process.wait(60) == 0, process.communicate()


@pytest.mark.parametrize("command", ["status", "logs", "stop", "savepoint", "rescale"])
def test_a_job_that_does_not_run_is_told_with_where_it_was_looked_for(command: str, rayflow: Run) -> None:
    more = {"savepoint": ["file:x"], "rescale": ["--workers", "2"]}.get(command, [])
    line = refused(rayflow(command, "nobody", *more, "--state", "there"), 2)
    assert line["code"] == "RF-6003"
    assert f"Looked in {Path('there').absolute()}" in line["advice"]
    assert "not its file" not in line["advice"]


def test_a_job_file_in_place_of_a_name_is_pointed_out(rayflow: Run) -> None:
    assert "Give the job's name, not its file" in refused(rayflow("status", "words.py"), 2)["advice"]


def test_with_an_address_only_that_cluster_is_looked_at(words: subprocess.Popen[str], rayflow: Run) -> None:
    assert refused(rayflow("status", "words", "--ray", "127.0.0.1:1"), 3)["code"] == "RF-6001"


def test_the_settings_say_which_state_directory(
    words: subprocess.Popen[str], rayflow: Run, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_folder / "below").mkdir()
    monkeypatch.chdir(own_folder / "below")
    assert ok(rayflow("list")).startswith("No jobs.")
    (own_folder / "rayflow.toml").write_text('state = "rayflow-data"\n')
    assert "words" in ok(rayflow("list"))
    monkeypatch.setenv("RAYFLOW_STATE", str(own_folder / "none"))
    assert ok(rayflow("list")).startswith("No jobs.")


def test_these_commands_import_no_ray(own_folder: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\nfrom rayflow.cli.root import cli\ncli(['list'], prog_name='rayflow')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(JOBS.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.startswith("No jobs.")) == (0, True), done.stderr


def test_a_ray_whose_head_is_gone_keeps_nobody_from_a_local_job(
    words: subprocess.Popen[str], rayflow: Run, monkeypatch: pytest.MonkeyPatch, own_folder: Path
) -> None:
    process = own_folder / "proc" / "7"
    process.mkdir(parents=True)
    (own_folder / "proc" / "self").mkdir()
    (process / "comm").write_text("raylet\n")
    (process / "cmdline").write_bytes(b"raylet\0--gcs-address=127.0.0.1:9\0")
    monkeypatch.setattr("rayflow.runtimes.ray.address.PROCESSES", own_folder / "proc")
    listed = rayflow("list")
    assert "words" in ok(listed)
    assert "Ray does not answer at 127.0.0.1:9" in listed.stderr
    line = refused(rayflow("status", "other"), 2)
    assert line["code"] == "RF-6003"
    assert "Ray does not answer at 127.0.0.1:9" in line["advice"]
    assert ok(rayflow("stop", "words")).startswith("words stopped")


def test_it_is_not_started_on_ray_beside_itself(words: subprocess.Popen[str], rayflow: Run) -> None:
    line = refused(rayflow("run", "words.py", "--runtime", "ray"), 1)
    assert (line["code"], f"process {words.pid} runs this job" in line["message"]) == ("RF-4006", True)
    assert "rayflow stop JOB" in line["advice"]
    assert words.poll() is None


def test_a_function_that_runs_long_is_told_of(rayflow: Run, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayflow.runtimes.hosting.status.SILENT", 0.5)
    monkeypatch.setattr("rayflow.runtimes.local.control.ANSWER", 1.0)
    broker = Broker(f"embedded:{own_folder / 'log'}", tag="")
    broker.create("in")
    broker.append("in", [("a", "x")])
    over = threading.Event()

    def long(value: str) -> str:
        over.wait(60)
        return value

    job = rf.Job("long")
    job.stream("in", key=str, value=str).map(long).to("out")
    told = "worker 0 has not answered for"
    with Running(job, broker, own_folder / "rayflow-data"):
        until_met(lambda: told in rayflow("status", "long").stdout, 60, 0.1)
        stopped = rayflow("stop", "long", "--now")
        assert stopped.exit_code == 1
        assert "kill -9 loses no data" in log_lines(stopped.stderr.splitlines()[-1])[0]["advice"]
        assert f"waiting: {told}" in stopped.stderr
        over.set()
    broker.close()
