"""A sequence diagram as SVG: what the site shows of the main diagram where Mermaid's script cannot be loaded.

Takes the part of Mermaid that the page uses: `participant A as text`, `A->>B: text`, `A-->>B: text` and
`Note over A,B: text`.
"""

from __future__ import annotations

import re
from html import escape

COLUMN, LEFT, TOP, STEP = 210, 110, 70, 44
_PARTICIPANT = re.compile(r"participant (\w+) as (.+)")
_ARROW = re.compile(r"(\w+)(--?)>>(\w+): (.+)")
_NOTE = re.compile(r"Note over (\w+)(?:,\s*(\w+))?: (.+)")


def svg(source: str) -> str:
    """The picture of a `sequenceDiagram`. Raises ValueError for a line that is not understood."""
    columns: dict[str, int] = {}
    labels: list[str] = []
    body: list[str] = []
    y = TOP + 30
    for line in filter(None, map(str.strip, source.splitlines())):
        if line in ("sequenceDiagram", "autonumber"):
            continue
        if match := _PARTICIPANT.fullmatch(line):
            columns[match[1]] = LEFT + COLUMN * len(columns)
            labels.append(match[2])
        elif match := _ARROW.fullmatch(line):
            body += _arrow(columns[match[1]], columns[match[3]], match[2] == "--", match[4], y)
            y += STEP
        elif match := _NOTE.fullmatch(line):
            ends = sorted((columns[match[1]], columns[match[2] or match[1]]))
            body += _note(ends[0], ends[1], match[3], y)
            y += STEP
        else:
            raise ValueError(f"the diagram has a line that is not understood: {line}")
    width, height = LEFT * 2 + COLUMN * (len(columns) - 1), y + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"',
        ' font-size="12">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        "<style>text{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for label, x in zip(labels, columns.values(), strict=True):
        lines.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{height - 10}" stroke="#bbb" stroke-dasharray="4 4"/>')
        lines.append(f'<rect x="{x - 85}" y="{TOP - 50}" width="170" height="40" rx="4" fill="#eef" stroke="#88a"/>')
        lines.append(f'<text x="{x}" y="{TOP - 26}" text-anchor="middle" font-weight="bold">{escape(label)}</text>')
    return "\n".join([*lines, *body, "</svg>"]) + "\n"


def _arrow(start: int, end: int, dashed: bool, text: str, y: int) -> list[str]:
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    if start == end:
        path = f'<path d="M{start} {y}h46v16h-46" fill="none" stroke="#555"{dash} marker-end="url(#head)"/>'
        return [path, f'<text x="{start + 54}" y="{y + 12}">{escape(text)}</text>']
    line = f'<line x1="{start}" y1="{y}" x2="{end}" y2="{y}" stroke="#555"{dash} marker-end="url(#head)"/>'
    return [line, f'<text x="{(start + end) // 2}" y="{y - 6}" text-anchor="middle">{escape(text)}</text>']


def _note(first: int, last: int, text: str, y: int) -> list[str]:
    middle, width = (first + last) // 2, max(last - first + 180, 7 * len(text) + 20)
    box = f'<rect x="{middle - width // 2}" y="{y - 20}" width="{width}" height="28" fill="#ffd" stroke="#cc9"/>'
    return [box, f'<text x="{middle}" y="{y - 2}" text-anchor="middle">{escape(text)}</text>']
