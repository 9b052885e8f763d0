"""A griffe extension: examples in docstrings become code blocks, also outside of a section "Examples"."""

from __future__ import annotations

from typing import Any

import griffe


def fenced(text: str) -> str:
    """`text` with each run of lines from ">>>" to the next blank line in a fence."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if not inside and line.lstrip().startswith(">>>"):
            inside = True
            lines.append("```pycon")
        elif inside and not line.strip():
            inside = False
            lines.append("```")
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)


class Doctests(griffe.Extension):
    """Applied to every object that is loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
