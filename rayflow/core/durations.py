"""Durations as people write them in settings: "500ms", "10s", "2m", "1h", "7d"."""

from __future__ import annotations

import re

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def duration_ms(text: str) -> int:
    """A duration in ms. Raises ValueError for any text that is not a number with a unit.

    >>> duration_ms("1.5s")
    1500
    >>> duration_ms("10")
    Traceback (most recent call last):
    ValueError: not a duration with a unit, such as 500ms, 10s, 2m, 1h or 7d
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a duration with a unit, such as 500ms, 10s, 2m, 1h or 7d")
    return round(float(match[1]) * _UNITS[match[2]])
