"""A type checker follows the lambdas, and refuses misuse."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

SNIPPETS = Path(__file__).parent / "snippets"
ROOT = Path(__file__).parents[2]


def test_a_type_checker_accepts_what_is_right_and_refuses_what_is_wrong() -> None:
    cache = Path(tempfile.gettempdir()) / f"rayflow-mypy-{sys.version_info.major}.{sys.version_info.minor}"
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", "--hide-error-context"]
    command += ["--config-file=", f"--cache-dir={cache}", "--follow-imports=silent"]
    files = [str(SNIPPETS / "good.py"), str(SNIPPETS / "bad.py")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, cwd=ROOT)
    found: dict[tuple[str, int], set[str]] = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(r".*?(\w+)\.py:(\d+): error: .*\[([a-z-]+)\]", line)
        if match is not None:
            found.setdefault((match[1], int(match[2])), set()).add(match[3])
    expected = {
        ("bad", number): set(line.partition("# E: ")[2].split(", "))
        for number, line in enumerate((SNIPPETS / "bad.py").read_text().splitlines(), 1)
        if "# E: " in line
    }
    assert found == expected, done.stdout + done.stderr
