"""Text that a terminal shows and does not act on."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from rayflow.core.printable import printable

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\u001b]0;title\u0007"),
        ("\x9b31m", r"\u009b31m"),
        ("a\x7f\x08\r", r"a\u007f\u0008\u000d"),
        ("one\ntwo\t", r"one\u000atwo\u0009"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("\u200b\ufeff\U000e0041", r"\u200b\ufeff\udb40\udc41"),
        ("\udc80", r"\udc80"),
        ('größer 価格 \u3000 🙂👩\u200d💻 \\ "', 'größer 価格 \u3000 🙂👩\u200d💻 \\ "'),
    ],
)
def test_what_a_terminal_acts_on_is_escaped_and_all_else_is_kept(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_and_no_change_of_direction_is_left() -> None:
    every = printable("".join(map(chr, range(sys.maxunicode + 1))))
    kinds = {unicodedata.category(each) for each in every}
    assert not {"Cc", "Cs", "Zl", "Zp"} & kinds
    assert not {unicodedata.bidirectional(each) for each in every} & DIRECTIONS


def test_lines_may_be_kept() -> None:
    assert printable("a\tb\n\x1b\r\n", lines=True) == "a\tb\n\\u001b\\u000d\n"


def test_json_stays_the_same_json() -> None:
    value = {"\x9b": '\x1b[2J\u202e\U000e0041\x7f \\u " 🙂'}
    shown = printable(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert "\x7f" not in shown
