"""Durations as users write them, in whole milliseconds."""

from __future__ import annotations

from datetime import timedelta
from math import isfinite

from rayflow.api.location import invalid

_MILLISECOND = timedelta(milliseconds=1)


def milliseconds_of(duration: timedelta, what: str, *, least: int = 1) -> int:
    """`duration` in ms. Raises InvalidJob unless it is a timedelta of whole milliseconds, at least `least` ms."""
    if not isinstance(duration, timedelta):
        raise invalid(
            f"{what} is a {type(duration).__name__}, not a duration",
            "Give a timedelta: from datetime import timedelta; timedelta(seconds=5)",
        )
    count, rest = divmod(duration, _MILLISECOND)
    if rest or count < least:
        problem = "is not a whole number of milliseconds" if rest else "is too short" if count >= 0 else "is negative"
        raise invalid(f"{what} {problem} ({duration})", f"Give a duration of {least} ms or more, in whole ms")
    return count


def duration_of(
    whole: timedelta | None,
    what: str,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    milliseconds: float = 0,
    least: int = 1,
) -> int:
    """ms of a duration that a call takes as one timedelta or in keywords, not both. Raises InvalidJob."""
    keywords = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds, "milliseconds": milliseconds}
    for name, number in keywords.items():
        if not isinstance(number, int | float) or not isfinite(number):
            given = number if isinstance(number, float) else f"a {type(number).__name__}"
            raise invalid(f"{name}= of {what} is {given}", f"Give a number: {name}=5")
    try:
        parts = timedelta(**keywords)
    except OverflowError:
        raise invalid(f"{what} is too long", "Give a duration of at most 999,999,999 days") from None
    if whole is not None:
        if parts:
            raise invalid(f"{what} is given twice", "Give a timedelta or keywords such as minutes=1, not both")
        return milliseconds_of(whole, what, least=least)
    return milliseconds_of(parts, what, least=least)


def text_of(milliseconds: int) -> str:
    """A short text for people.

    >>> text_of(60_000), text_of(90_000), text_of(86_400_000), text_of(1_500)
    ('1 min', '90 s', '1 d', '1500 ms')
    """
    if milliseconds == 0:
        return "0 s"
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if milliseconds % size == 0:
            return f"{milliseconds // size} {unit}"
    return f"{milliseconds} ms"
