"""The soak itself, for half a minute."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT


@pytest.mark.slow
def test_half_a_minute_of_disturbances_is_exact(tmp_path: Path) -> None:
    arguments = ["--minutes", "0.4", "--rate", "200", "--json", str(tmp_path / "soak.json"), "--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "soak.json").read_bytes())
    assert told["wrong"] is None
    assert told["figures"]["disturbances"]["kill"] > 0
    assert told["figures"]["visits"] > 500
    assert told["figures"]["outputs"] > 2 * told["figures"]["visits"]
