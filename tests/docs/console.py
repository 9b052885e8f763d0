"""Blocks that show a terminal: commands after `$ `, and below each what it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

_KINDS = {
    "duration": r"(?<= in )\d+(?:\.\d+)? ?s\b|(?<= for )\d+(?:\.\d+)? ?s\b",
    "rate": r"[\d,]+(?= records/s)",
    "size": r"\b\d+(?:\.\d+)? (?:B|KiB|MiB)(?!\w)",
    "moment": r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b",
    "timestamp": r"(?<=\"timestamp\":)\d{13}\b",
    "identity": r"\b[0-9a-f]{16,32}\b",
}
_MEASURED = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()))
"""What a page shows of a clock, a disk or by chance, and another run shows otherwise: any other of its kind will do."""

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

    Between the columns of a table are two spaces or more: how many depends on how wide the widest value was. A
    duration, a rate, a size, a moment and an identity may be any other one; everything else is to be as it is shown.
    """
    pattern = "".join("(?:.*\n)*?" if line == "..." else _line(line) for line in said)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in shown if line)) is not None


def _line(line: str) -> str:
    pattern, at = "", 0
    for found in _MEASURED.finditer(line):
        pattern += re.escape(line[at : found.start()]) + f"(?:{_KINDS[str(found.lastgroup)]})"
        at = found.end()
    pattern += re.escape(line[at:])
    return _COLUMNS.sub(" {2,}", pattern).replace(re.escape("..."), ".*") + "\n"
