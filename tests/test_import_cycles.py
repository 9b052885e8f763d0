"""Modules import one another in one direction, but for the fluent API, whose streams return one another."""

from __future__ import annotations

import grimp

ALLOWED = [
    {f"rayflow.api.{name}" for name in ("branches", "keyed", "misuse", "stream", "table", "windowed")},
]
"""Each entry is a set of modules that may import one another: at the top, inside functions or for types alone."""


def cycles(imports: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that reach one another, by their direct imports."""
    reached: dict[str, set[str]] = {}
    for module in imports:
        found: set[str] = set()
        left = [module]
        while left:
            new = imports[left.pop()] - found
            found |= new
            left += new
        reached[module] = found
    circular = sorted(module for module in imports if module in reached[module])
    return [
        {other for other in reached[module] if module in reached[other]}
        for n, module in enumerate(circular)
        if not any(module in reached[before] and before in reached[module] for before in circular[:n])
    ]


def test_only_the_fluent_api_has_an_import_cycle() -> None:
    graph = grimp.build_graph("rayflow", cache_dir=None)
    assert cycles({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}) == ALLOWED


def test_every_cycle_is_found_once() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"f", "a"}, "f": {"e"}}
    assert cycles(imports) == [{"a", "b", "c"}, {"e", "f"}]
