"""What `cluster/` holds, as the tests look at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
DOCS = ROOT / "docs"
GUIDE = DOCS / "guides" / "cluster.md"

IMAGE = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+\.\d+[a-z0-9.-]*$")
"""An image pinned to a version."""
SECRET = re.compile(r"password|secret|token|credential|access_key|private", re.IGNORECASE)
"""In the name of what must not stand in a file."""


def loaded(path: str) -> Any:
    """One YAML file of `cluster/`."""
    return yaml.safe_load((CLUSTER / path).read_text(encoding="utf-8"))


def compose() -> dict[str, Any]:
    """compose.yaml."""
    found: dict[str, Any] = loaded("compose.yaml")
    return found


def raycluster(layer: str = "base") -> dict[str, Any]:
    """The RayCluster as kustomize renders it."""
    return next(manifest for manifest in rendered(layer) if manifest["kind"] == "RayCluster")


def rendered(layer: str) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder, as far as ours use it: resources, merges, and `replace` by path."""
    folder = (CLUSTER / "kubernetes" / layer).resolve()
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    manifests: list[dict[str, Any]] = []
    for name in kustomization["resources"]:
        if (folder / name).is_dir():
            manifests += rendered(str((folder / name).resolve().relative_to(CLUSTER / "kubernetes")))
        else:
            manifests += yaml.safe_load_all((folder / name).read_text(encoding="utf-8"))
    for patch in kustomization.get("patches", ()):
        content = yaml.safe_load((folder / patch["path"]).read_text(encoding="utf-8"))
        kind, name = (
            (patch["target"]["kind"], patch["target"]["name"])
            if "target" in patch
            else (content["kind"], content["metadata"]["name"])
        )
        [target] = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        if isinstance(content, list):
            for step in content:
                _replace(target, step)
        else:
            _merge(target, content)
    return manifests


def _replace(target: Any, step: dict[str, Any]) -> None:
    assert step["op"] == "replace", step
    *way, last = step["path"].split("/")[1:]
    for part in way:
        target = target[int(part) if isinstance(target, list) else part]
    assert (int(last) if isinstance(target, list) else last) in (
        range(len(target)) if isinstance(target, list) else target
    ), step["path"]
    target[int(last) if isinstance(target, list) else last] = step["value"]


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            del target[key]
        elif isinstance(value, dict):
            _merge(target[key], value)
        else:
            target[key] = value


def leaves(value: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no list and no mapping, with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*way, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, way)
    else:
        yield way, value
