"""`rayflow new`: the project that it makes works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import JOBS

Run = Callable[..., Result]


def test_the_projects_test_passes_and_its_job_runs(
    rayflow: Run, own_folder: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    assert rayflow("new", "orders").exit_code == 0
    project = own_folder / "orders"
    environment = {"PYTHONPATH": str(JOBS.parent), "PATH": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    run = started("run", "job.py", "--until-end", cwd=project)
    assert run.wait(timeout=60) == 0, run.stderr.read() if run.stderr else ""
    read = rayflow("topics", "read", "orders-per-minute", "--state", str(project / "rayflow-data"), "--max", "1")
    assert '"key":"user-' in read.stdout


def test_its_files_carry_the_name(rayflow: Run, own_folder: Path) -> None:
    rayflow("new", "my-job")
    assert 'name = "my-job"' in (own_folder / "my-job" / "pyproject.toml").read_text()
    assert 'rf.Job("my-job")' in (own_folder / "my-job" / "job.py").read_text()
    assert "$" not in (own_folder / "my-job" / "README.md").read_text()


@pytest.mark.parametrize("name", ["../x", "1x", "X", "x y", "x-", ""])
def test_a_name_that_no_package_may_have_is_refused(name: str, rayflow: Run) -> None:
    assert rayflow("new", name).exit_code == 2


def test_an_existing_folder_is_left_alone(rayflow: Run, own_folder: Path) -> None:
    (own_folder / "orders").mkdir()
    assert rayflow("new", "orders").exit_code == 2
    assert list((own_folder / "orders").iterdir()) == []
