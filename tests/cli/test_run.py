"""`rayflow run`, as a process of its own: what it prints, how it stops, and where it goes on."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import JOBS, log_lines

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]

ENDLESS = """
import rayflow as rf

job = rf.Job("endless")
(
    job.stream("words", value=str, sample=["one", "two", "two"])
    .key_by(lambda word: word)
    .count(emit="record")
    .to("counts")
)
"""


def done(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def values(rayflow: Run, topic: str) -> list[object]:
    return [json.loads(line)["value"] for line in rayflow("topics", "read", topic).stdout.splitlines()]


def until(process: subprocess.Popen[str], message: str, **fields: object) -> dict[str, object]:
    """Reads the log up to a line."""
    assert process.stderr is not None
    for text in process.stderr:
        line = json.loads(text)
        if line["message"] == message and all(line[name] == value for name, value in fields.items()):
            return dict(line)
    raise AssertionError(f"the log ended without {message!r}")


def test_a_bounded_run_ends_with_everything_published(rayflow: Run, started: Start) -> None:
    code, out, err = done(started("run", str(JOBS / "wordcount.py"), "--until-end"))
    assert (code, out) == (0, ""), err
    last = log_lines(err)[-1]
    assert (last["message"], last["job"], last["records_in"], last["state"]) == ("job done", "wordcount", 3, "done")
    found = {value["key"]: value["count"] for value in values(rayflow, "word-counts")}
    assert (found["the"], found["fox"], found["sleeps"]) == (5, 3, 2)


def test_a_second_run_goes_on_where_the_first_one_ended(rayflow: Run, started: Start) -> None:
    assert done(started("run", str(JOBS / "wordcount.py"), "--until-end"))[0] == 0
    before = values(rayflow, "word-counts")
    rayflow("topics", "write", "lines", "--text", stdin="x\n")
    assert done(started("run", str(JOBS / "wordcount.py"), "--until-end"))[0] == 0
    assert [value for value in values(rayflow, "word-counts") if value not in before] == [{"key": "x", "count": 1}]


def test_windows_are_kept_open_at_the_end_of_a_bounded_run_only(rayflow: Run) -> None:
    refused = rayflow("run", "job.py", "--keep-open")
    assert (refused.exit_code, "--keep-open needs --until-end" in refused.output) == (2, True)
    assert "--keep-open" not in rayflow("run", "job.py", "--keep-open", "--until-end").output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_after_a_last_checkpoint(
    number: signal.Signals, rayflow: Run, started: Start, own_folder: Path
) -> None:
    (own_folder / "endless.py").write_text(ENDLESS)
    process = started("run", "endless.py", "--set", "checkpoint_interval=1h")
    until(process, "progress", records_in=3)
    process.send_signal(number)
    assert until(process, "job stopped")["epoch"] == 1
    assert done(process)[0] == 0
    assert Counter(map(str, values(rayflow, "counts"))) == Counter({"1": 2, "2": 1})


def test_the_second_signal_ends_the_process_at_once(started: Start, own_folder: Path) -> None:
    (own_folder / "stuck.py").write_text(
        "import signal, time, rayflow as rf\n"
        "def block(word):\n"
        "    handler = signal.getsignal(signal.SIGINT)\n"
        "    def tell(number, frame):\n"
        "        handler(number, frame)\n"
        "        print('signalled', flush=True)\n"
        "    signal.signal(signal.SIGINT, tell)\n"
        "    print('blocked', flush=True)\n"
        "    while True:\n"
        "        time.sleep(0.01)\n"
        "job = rf.Job('stuck')\n"
        "job.stream('words', value=str, sample=['a']).map(block).to('out')\n"
    )
    process = started("run", "stuck.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "blocked\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "signalled\n"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 1


def test_a_failing_function_is_one_message_with_its_place_and_without_the_value(
    started: Start, own_folder: Path
) -> None:
    (own_folder / "failing.py").write_text(
        "import rayflow as rf\n"
        "job = rf.Job('failing')\n"
        "job.stream('words', value=str, sample=['secret-word']).map(lambda word: int(word)).to('numbers')\n"
    )
    code, out, err = done(started("run", "failing.py", "--until-end"))
    assert (code, out) == (1, "")
    last = log_lines(err)[-1]
    assert (last["level"], last["code"], last["job"], last["topic"]) == ("error", "RF-2002", "failing", "words")
    assert last["message"] == "ValueError at failing.py:3 in <lambda>"
    assert isinstance(last["offset"], int)
    assert "secret-word" not in err
    assert "Traceback" not in err


def test_debugging_adds_the_traceback(started: Start, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLOW_DEBUG", "1")
    code, _, err = done(started("run", "missing.py"))
    assert code == 1
    assert "Traceback" in err
    assert "RF-1001" in err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("import nothing_of_the_kind", "RF-1001"),
        ("x = 1", "RF-1002"),
        ("import rayflow as rf\na = rf.Job('a')\nb = rf.Job('b')", "RF-1003"),
        ("import rayflow as rf\njob = rf.Job('a b')", "RF-1004"),
    ],
)
def test_a_job_file_that_cannot_be_used_is_a_usage_error(
    text: str, code: str, started: Start, own_folder: Path
) -> None:
    (own_folder / "broken.py").write_text(text)
    status, _, err = done(started("run", "broken.py"))
    assert (status, log_lines(err)[-1]["code"]) == (2, code)


def test_set_reaches_settings_and_job_file_and_a_slip_is_refused(started: Start, own_folder: Path) -> None:
    run = ("run", str(JOBS / "fraud.py"), "--until-end")
    status, _, err = done(started(*run, "--set", "large=901", "--set", "checkpoint_interval=50ms", "--state", "a"))
    assert status == 0, err
    assert log_lines(err)[-1]["records_out"] == 0
    status, _, err = done(started(*run, "--set", "checkpont_interval=50ms"))
    line = log_lines(err)[-1]
    assert (status, line["code"], line["advice"]) == (2, "RF-1005", "Did you mean checkpoint_interval?")
    assert not (own_folder / "rayflow-data").exists()
    status, _, err = done(started(*run, "--set", "large"))
    assert status == 2
    assert "'large' is not KEY=VALUE" in err


def test_a_broker_out_of_reach_is_exit_code_3(started: Start) -> None:
    status, _, err = done(started("run", str(JOBS / "wordcount.py"), "--broker", "kafka://127.0.0.1:1"))
    assert (status, log_lines(err)[-1]["code"]) == (3, "RF-3002")


def test_metrics_are_served_while_the_job_runs(started: Start, own_folder: Path) -> None:
    (own_folder / "endless.py").write_text(ENDLESS)
    process = started("run", "endless.py", "--metrics-port", "0")
    url = str(until(process, "metrics served")["url"])
    until(process, "progress", records_in=3)
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    assert 'rayflow_attempt{job_name="endless"} 1.0' in text
    assert 'rayflow_records_in_total{job_name="endless"' in text
    process.send_signal(signal.SIGINT)
    assert done(process)[0] == 0


def test_a_job_can_start_from_a_savepoint_of_its_last_stop(rayflow: Run, started: Start) -> None:
    job = str(JOBS / "wordcount.py")
    assert done(started("run", job, "--until-end", "--savepoint-at-stop", "file:saved"))[0] == 0
    rayflow("topics", "write", "lines", "--text", stdin="fox\n")
    clone = ("--state", "clone", "--broker", "embedded:rayflow-data/log", "--from-savepoint", "file:saved")
    status, _, err = done(started("run", job, "--until-end", *clone))
    assert status == 0, err
    assert {"key": "fox", "count": 4} in values(rayflow, "word-counts")


def test_on_a_terminal_there_is_a_live_line_and_a_summary(started: Start) -> None:
    terminal, side = pty.openpty()
    process = started("run", str(JOBS / "fraud.py"), "--until-end", stderr=side, stdout=side)
    os.close(side)
    shown = b""
    try:
        while chunk := os.read(terminal, 4_096):
            shown += chunk
    except OSError:  # Linux says EIO when the other side has closed
        pass
    os.close(terminal)
    assert process.wait(timeout=30) == 0
    assert b"records/s" in shown
    assert b"20,008 records in" in shown
    assert b'{"timestamp"' not in shown
