"""Where the running rayflow was installed from, as a requirement that gives the same one again.

The distribution's name alone is not enough before it is published: whoever registers it on an index decides what
`pip install rayflow-streams` runs.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from rayflow.version import __version__

NAME = "rayflow-streams"
_SOURCES = Path(__file__).parents[2]


def requirement(extra: str = "", sources: Path = _SOURCES) -> str:
    """The running rayflow as a requirement (PEP 508), with an extra if one is given.

    A checkout by its path; an archive by its URL, with its SHA-256 if that is known; a repository by its commit
    (https://packaging.python.org/en/latest/specifications/direct-url/). From an index, the exact version: the index is
    the user's own choice.
    """
    name = f"{NAME}[{extra}]" if extra else NAME
    project = sources / "pyproject.toml"
    if project.is_file() and f'name = "{NAME}"' in project.read_text(encoding="utf-8"):
        return f"{name} @ {sources.as_uri()}"
    url = _direct_url()
    return f"{name} @ {url}" if url else f"{name}=={__version__}"


def _direct_url() -> str | None:
    try:
        told = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    if told is None:
        return None
    origin = json.loads(told)
    url = str(origin["url"])
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    hashes = origin.get("archive_info", {}).get("hashes", {})
    if "sha256" in hashes:
        url += f"#sha256={hashes['sha256']}"
    elif origin.get("subdirectory"):
        url += f"#subdirectory={origin['subdirectory']}"
    return url
