"""Job files that cannot be run: exit code 2, and a message that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.processes import Command, job_file

TWO_JOBS = """\
import rayflow as rf

def build(name):
    job = rf.Job(name)
    job.stream("in", value=str, sample=["x"]).map(str.upper).to(f"out-{name}")
    return job

first, second = build("first"), build("second")
"""


@pytest.mark.parametrize(
    ("text", "code", "names"),
    [
        ("import rayflow as rf\njob = rf.Job('a')\nraise ValueError('hunter2')\n", "RF-1001", "job.py:3"),
        ("import rayflow as rf\njob = (\n", "RF-1001", "job.py:2"),
        ("import no_such_module\n", "RF-1001", "no_such_module"),
        ("import rayflow as rf\n", "RF-1002", "job.py"),
        (TWO_JOBS, "RF-1003", "first, second"),
        ("import rayflow as rf\njob = rf.Job('a')\n", "RF-1004", "reads nothing"),
        ("import rayflow as rf\njob = rf.Job('a')\njob.stream('in').count()\n", "RF-1004", "job.py:3"),
    ],
    ids=["raises", "syntax", "import", "no job", "two jobs", "empty job", "misuse"],
)
def test_a_job_file_that_cannot_be_run_is_refused(text: str, code: str, names: str, tmp_path: Path) -> None:
    ended = Command(tmp_path, "run", str(job_file(tmp_path, text)), "--until-end").wait()
    assert ended.code == 2
    assert ended.failure["code"] == code
    assert names in ended.failure["message"]
    assert "Traceback" not in ended.err
    assert not (tmp_path / "rayflow-data").exists()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    ended = Command(tmp_path, "run", "no_such.py").wait()
    assert ended.code == 2
    assert "no_such.py" in ended.failure["message"]


def test_one_of_two_jobs_is_run_by_its_variable(tmp_path: Path) -> None:
    ended = Command(tmp_path, "run", f"{job_file(tmp_path, TWO_JOBS)}:second", "--until-end").wait()
    assert ended.code == 0, ended.err
    assert ended.log[-1]["job"] == "second"
