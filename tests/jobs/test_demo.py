"""`make demo`, as a process of its own in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

from tests.jobs.conftest import JOBS


def demo(folder: Path) -> str:
    """What it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAYFLOW_")}
    environment["PYTHONPATH"] = str(JOBS.parent)
    command = [sys.executable, str(JOBS / "demo.py")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_counts_every_order_once_and_goes_on_with_the_next_hour(tmp_path: Path) -> None:
    first = demo(tmp_path)
    assert "First run" in first
    assert "197,945 valid orders written, 197,945 counted: each once" in first
    second = demo(tmp_path)
    assert "Going on from the last run's checkpoint, with hour 2" in second
    assert "each once" in second
    assert "This run: 200,000 orders" in second
