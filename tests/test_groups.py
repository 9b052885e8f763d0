"""Tests of one group share a process of pytest-xdist, and so a Ray cluster or a broker that they break."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """\
import os
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_some(number):
    with open("processes", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_the_tests_of_a_group_run_in_one_process(tmp_path: Path) -> None:
    """They do not with pytest 9.2 and pytest-xdist 3.8, which say nothing of it."""
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-c", os.devnull, "."]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout
    processes = (tmp_path / "processes").read_text().split()
    assert len(processes) == 8
    assert len(set(processes)) == 1, "install another pytest, as pyproject.toml says"
