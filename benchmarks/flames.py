"""Draws samples of stacks as a flame graph: a row for each depth, as wide as its share of samples, a colour for each
part of the budget. The file opens anywhere: it has no script, and names appear under the pointer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

WIDTH, ROW, TOP = 1200.0, 16, 60
NARROW = 1.5
"""Frames of fewer pixels are left out, with all that they call."""
DEEPEST = 40
"""Rows; what lies deeper (imports mostly) is left out."""
LETTER = 6.1
"""Pixels of a letter, about."""
COLOURS = (
    *("#8fb8de", "#9bd1c8", "#a9d18e", "#c9dd8b", "#f2d16b", "#f0b35f"),
    *("#e8936a", "#d98a94", "#c79ac9", "#a7a3d6", "#c8b48f"),
)
GREY = "#d4d4d4"
_LINE = re.compile(r":\d+\)$")
_BEGIN = re.compile(r"\brun \(rayflow/runtimes/")
"""The outermost frame that is worth its row."""


@dataclass(slots=True)
class Frame:
    """What was sampled in one function, called along one path."""

    samples: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    calls: dict[str, Frame] = field(default_factory=dict)


def tree_of(lines: Sequence[str], part_of: Callable[[Sequence[str]], str]) -> Frame:
    """The frames of samples, each line a stack, `;` between frames, and its number; those without rayflow left out.

    >>> tree = tree_of(["main (x.py:1);run (rayflow/runtimes/r.py:5);put (rayflow/a.py:9) 3"], lambda stack: "all")
    >>> tree.samples, list(tree.calls), list(tree.calls["run (rayflow/runtimes/r.py)"].calls)
    (3, ['run (rayflow/runtimes/r.py)'], ['put (rayflow/a.py)'])
    """
    root = Frame()
    for line in lines:
        text, _, number = line.rpartition(" ")
        if "rayflow/" not in text:
            continue
        stack = text.split(";")
        first = next((at for at, frame in enumerate(stack) if _BEGIN.search(frame)), 0)
        part, frame = part_of(stack), root
        for name in ("", *stack[first:]):
            if name:
                frame = frame.calls.setdefault(_LINE.sub(")", name), Frame())
            frame.samples += int(number)
            frame.parts[part] += int(number)
    return root


def draw(title: str, root: Frame, parts: Sequence[str]) -> str:
    """The picture, as the text of an SVG file. `parts`: those that have a colour, in order."""
    rows = list(_placed(root, 0.0, 0, WIDTH / max(1, root.samples)))
    colours = dict(zip(parts, COLOURS, strict=False))
    colours |= dict.fromkeys(root.parts.keys() - colours.keys(), GREY)
    height = TOP + ROW * (1 + max((depth for _, _, _, depth, _ in rows), default=0))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height}" style="font: 10px monospace">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="6" y="18" style="font-size: 14px">{escape(title)}</text>',
        *_legend(root, colours),
    ]
    for name, frame, x, depth, width in rows:
        share = frame.samples / root.samples
        colour = colours[frame.parts.most_common(1)[0][0]]
        shown = name[: int((width - 4) / LETTER)] if width > 4 * LETTER else ""
        y = TOP + ROW * depth
        lines.append(
            f"<g><title>{escape(name)} {share:.1%}</title>{_box(x, y, width, ROW - 1, colour)}"
            f'<text x="{x + 2:.1f}" y="{y + 11}">{escape(shown)}</text></g>'
        )
    return "\n".join([*lines, "</svg>\n"])


def _legend(root: Frame, colours: dict[str, str]) -> Iterator[str]:
    x = 6.0
    for part, colour in colours.items():
        if not root.parts[part]:
            continue
        text = f"{part} {root.parts[part] / root.samples:.0%}"
        yield f'{_box(x, 32, 10, 10, colour)}<text x="{x + 14:.0f}" y="41">{text}</text>'
        x += 26 + LETTER * len(text)


def _box(x: float, y: int, width: float, height: int, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _placed(frame: Frame, x: float, depth: int, scale: float) -> Iterator[tuple[str, Frame, float, int, float]]:
    """Name, frame, left edge, depth and width of all below a frame that are wide enough; the widest first."""
    for name, call in sorted(frame.calls.items(), key=lambda item: -item[1].samples):
        width = call.samples * scale
        if width >= NARROW and depth < DEEPEST:
            yield name, call, x, depth, width
            yield from _placed(call, x, depth + 1, scale)
        x += width
