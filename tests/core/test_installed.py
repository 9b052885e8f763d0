"""The requirement that gives the running rayflow again."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from rayflow.core import installed
from rayflow.core.installed import requirement
from rayflow.version import __version__

ROOT = Path(__file__).parents[2]


def came_from(origin: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed:
        def read_text(self, _name: str) -> str | None:
            return None if origin is None else json.dumps(origin)

    monkeypatch.setattr(installed, "distribution", lambda _name: Installed())


def test_a_checkout_is_named_by_its_path() -> None:
    assert requirement() == f"rayflow-streams @ {ROOT.as_uri()}"
    assert Requirement(requirement("ray")).extras == {"ray"}


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ({"url": "file:///src/rayflow", "dir_info": {"editable": True}}, "file:///src/rayflow"),
        (
            {"url": "https://host/r.whl", "archive_info": {"hashes": {"sha256": "ab12"}}},
            "https://host/r.whl#sha256=ab12",
        ),
        ({"url": "file:///wheels/r.whl", "archive_info": {}}, "file:///wheels/r.whl"),
        (
            {
                "url": "https://host/r.git",
                "vcs_info": {"vcs": "git", "commit_id": "c0ffee", "requested_revision": "main"},
            },
            "git+https://host/r.git@c0ffee",
        ),
        ({"url": "file:///all", "dir_info": {}, "subdirectory": "rayflow"}, "file:///all#subdirectory=rayflow"),
    ],
)
def test_what_was_installed_directly_is_named_by_its_url(
    origin: dict[str, Any], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came_from(origin, monkeypatch)
    assert requirement(sources=tmp_path) == f"rayflow-streams @ {url}"
    assert Requirement(requirement("ray", sources=tmp_path)).url == url


def test_what_came_from_an_index_is_named_by_its_exact_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"')
    came_from(None, monkeypatch)
    assert requirement(sources=tmp_path) == f"rayflow-streams=={__version__}"

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installed, "distribution", missing)
    assert requirement("ray", sources=tmp_path) == f"rayflow-streams[ray]=={__version__}"
