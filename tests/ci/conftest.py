"""The scripts of `.ci` as modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / ".ci"
NAMES = ("audit", "dependencies", "licences", "summary")


@pytest.fixture
def ci(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """Each script by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    yield {name: import_module(name) for name in NAMES}
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the summary."""
    file = tmp_path / "summary"
    monkeypatch.setenv("CI_SUMMARY", str(file))
    return file
