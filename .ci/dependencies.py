"""What rayflow needs at run time: the packages that are installed for it, and the lowest versions that it accepts."""

import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "rayflow-streams"
CONTRIBUTORS = frozenset({"dev", "docs"})
"""The extras that no user installs."""
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
USERS = frozenset(PROJECT["optional-dependencies"]) - CONTRIBUTORS


def needed(name: str, extras: frozenset[str] = frozenset()) -> tuple[dict[str, Distribution], list[str]]:
    """A distribution with these extras and everything that it needs here, by name; and what of that is missing."""
    found: dict[str, Distribution] = {}
    missing: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        package, chosen = one
        try:
            found[package] = distribution(package)
        except PackageNotFoundError:
            missing.add(package)
            continue
        for text in found[package].requires or []:
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *chosen)):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))
    return found, sorted(missing)


def lowest() -> list[str]:
    """The lowest accepted version of each direct dependency, extras for users included, as NAME==VERSION.

    Raises ValueError for a dependency without a lower bound.
    """
    texts = [*PROJECT["dependencies"], *(text for extra in sorted(USERS) for text in own_extra(extra))]
    pins = set()
    for need in map(Requirement, texts):
        if canonicalize_name(need.name) == NAME:
            continue
        bounds = [each.version for each in need.specifier if each.operator in (">=", "==", "~=")]
        if not bounds:
            raise ValueError(f"{need.name} has no lower bound in pyproject.toml")
        pins.add(f"{need.name}=={bounds[0]}")
    return sorted(pins)


def own_extra(extra: str) -> list[str]:
    """The requirements of an extra, as pyproject.toml has them."""
    return list(PROJECT["optional-dependencies"][extra])
