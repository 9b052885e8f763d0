"""The code blocks of a Markdown page."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_OPENING = re.compile(r"^( *)(`{3,})(.*)$")
_CLASS = re.compile(r"\.([\w-]+)")
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its marks (`.norun` ...), its `title=`, its text and the line it begins at."""

    page: Path
    line: int
    language: str
    marks: frozenset[str]
    title: str | None
    text: str

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """All pages of the site, and the README."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        match = _OPENING.match(line)
        if opened is None:
            if match:
                opened, lines = (number, match[2], match[3].strip()), []
        elif match and match[2] == opened[1] and not match[3].strip():
            found.append(_block(page, opened[0], opened[2], lines))
            opened = None
        else:
            lines.append(line)
    assert opened is None, f"{page}: the block at line {opened[0] if opened else 0} is not closed"
    return found


def _block(page: Path, line: int, info: str, lines: list[str]) -> Block:
    if info.startswith("{"):
        language, *marks = _CLASS.findall(info)
    else:
        language, marks = info.partition(" ")[0], []
    title = _TITLE.search(info)
    text = textwrap.dedent("\n".join(lines)) + "\n"
    return Block(page, line, language, frozenset(marks), title[1] if title else None, text)
