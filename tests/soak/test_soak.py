"""The soak itself, for half a minute and a calm one before; and what it says of a job that leaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CALM = 60
"""Seconds, of which the last 32 are compared, half with half."""


def soak(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """Run it; how it ended, and what it wrote."""
    told = folder / "soak.json"
    given = ["--calm", str(CALM), "--rate", "200", "--json", str(told), "--folder", str(folder), *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *given], cwd=ROOT, capture_output=True, text=True, timeout=580
    )
    return done, json.loads(told.read_bytes())


def grown(told: Any) -> dict[str, bool | None]:
    """By figure, whether it grew in the calm life."""
    end = " in the calm life"
    return {v["name"].removesuffix(end): v["grown"] for v in told["figures"]["flatness"] if v["name"].endswith(end)}


def test_half_a_minute_of_disturbances_is_exact_and_a_calm_one_shows_no_growth(tmp_path: Path) -> None:
    done, told = soak(tmp_path, "--minutes", "0.4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert told["wrong"] is None
    assert told["figures"]["disturbances"]["kill"] > 0
    assert told["figures"]["visits"] > 500
    assert told["figures"]["outputs"] > 2 * told["figures"]["visits"]
    verdicts = grown(told)
    assert {"private memory", "open files", "threads", "rows sessions/open", "rows sessions/count"} <= set(verdicts)
    assert set(verdicts.values()) == {False}, done.stdout


def test_a_job_that_leaks_is_found(tmp_path: Path) -> None:
    done, told = soak(tmp_path, "--minutes", "0", "--job", str(Path(__file__).with_name("leaky_job.py")))
    assert done.returncode == 1
    found = {name for name, grows in grown(told).items() if grows}
    assert found == {"private memory", "open files", "threads", "rows sessions/seen"}, done.stdout
