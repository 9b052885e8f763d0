"""Tells what a check found: at once, and again in the summary at the end of the run."""

import os
from pathlib import Path

FILES = ("CI_SUMMARY", "GITHUB_STEP_SUMMARY")
"""Environment variables that name a file to append to. `.ci/run` prints the first one at its end."""


def tell(line: str) -> None:
    """Print a line, and add it to the summary."""
    print(line)
    for variable in FILES:
        if os.environ.get(variable):
            with Path(os.environ[variable]).open("a", encoding="utf-8") as file:
                file.write(f"- {line}\n")
