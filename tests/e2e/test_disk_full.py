"""A disk that is full: the job stops with DiskFull, and goes on exactly when there is space."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT


@pytest.mark.parametrize("part", ["checkpoints", "state", "log", "everything"])
def test_a_full_disk_stops_the_job_and_costs_nothing(part: str, tmp_path: Path) -> None:
    """`part`: what lies on the disk that is full: the checkpoints, the tasks' LMDB, the embedded log, or all of it."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.e2e.small_disk", part, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stderr}"
    found = json.loads(done.stdout)
    assert [code for code, _ in found["refused"]] == ["RF-4004", "RF-4004"]
    assert str(tmp_path / "small") in found["refused"][0][1]
    assert found["nothing wrong while full"]
    assert found["exact"]
