"""Makes text of unknown origin safe to print on a terminal."""

from __future__ import annotations

import re

_LINES = "\t\n"
_ACTED_ON = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, C0 and C1: escape sequences begin with one
    "\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, invisible
    "\ud800-\udfff\U000e0000-\U000e0fff"  # lone surrogates, tags
)
_IN_LINES = re.compile(f"[{_ACTED_ON}]")
_IN_LINE = re.compile(f"[{_LINES}{_ACTED_ON}]")


def printable(text: str, *, lines: bool = False) -> str:
    r"""The text with \uNNNN for each character that a terminal acts on, or that hides or reorders others: controls, and
    formatting characters of Unicode (https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing).

    JSON stays JSON with the same content. `lines`: keep line ends and tabs.

    >>> print(printable("red: \x1b[31m, \x9b31m, \u202e"))
    red: \u001b[31m, \u009b31m, \u202e
    """
    return (_IN_LINES if lines else _IN_LINE).sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
