"""`rayflow new`: the project that it makes works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import JOBS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


def test_it_requires_the_rayflow_that_made_it_and_not_a_name_that_anybody_can_register(
    rayflow: Run, own_folder: Path
) -> None:
    rayflow("new", "orders")
    project = tomllib.loads((own_folder / "orders" / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == [f"rayflow-streams @ {JOBS.parent.as_uri()}"]
    readme = (own_folder / "orders" / "README.md").read_text()
    assert project["dependencies"][0] in readme
    assert "pypi.org" not in readme


@pytest.mark.parametrize("name", ["../x", "1x", "X", "x y", "x-", ""])
def test_a_name_that_no_package_may_have_is_refused(name: str, rayflow: Run) -> None:
    assert rayflow("new", name).exit_code == 2


def test_an_existing_folder_is_left_alone(rayflow: Run, own_folder: Path) -> None:
    (own_folder / "orders").mkdir()
    assert rayflow("new", "orders").exit_code == 2
    assert list((own_folder / "orders").iterdir()) == []
