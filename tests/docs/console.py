"""Blocks that show a terminal: commands after `$ `, and below each what it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COLUMNS = re.compile(r"(?<=\S)(?:\\ ){2,}")
"""Spaces between columns, in an escaped line."""


@dataclass(frozen=True)
class Command:
    """A command and the lines that it is said to show."""

    text: str
    shows: tuple[str, ...]


def commands_of(text: str) -> list[Command]:
    """The commands of a block, in order."""
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], ()))
        elif line:
            assert found, f"a console block begins with {line!r} instead of a command"
            found[-1] = Command(found[-1].text, (*found[-1].shows, line))
    return found


def agree(shown: list[str], said: tuple[str, ...]) -> bool:
    """Whether a screen is as the page says: `...` on a line of its own is any number of lines, within one any text.

    Between the columns of a table are two spaces or more: how many depends on how wide the widest value was.
    """
    pattern = "".join("(?:.*\n)*?" if line == "..." else _line(line) for line in said)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in shown if line)) is not None


def _line(line: str) -> str:
    return _COLUMNS.sub(" {2,}", re.escape(line)).replace(re.escape("..."), ".*") + "\n"
