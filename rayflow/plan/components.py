"""Groups operators that belong together (union-find)."""

from __future__ import annotations

from collections.abc import Iterable


class Components:
    """Disjoint groups of names.

    >>> groups = Components(["a", "b", "c"])
    >>> groups.union("a", "c")
    >>> groups.find("c") == groups.find("a"), groups.find("b") == groups.find("a")
    (True, False)
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._parents = {name: name for name in names}

    def find(self, name: str) -> str:
        """The name that represents the group of `name`."""
        parents = self._parents
        while parents[name] != name:
            parents[name] = name = parents[parents[name]]
        return name

    def union(self, one: str, other: str) -> None:
        """Combine two groups."""
        self._parents[self.find(other)] = self.find(one)
