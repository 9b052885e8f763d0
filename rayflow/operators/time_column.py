"""Checks timestamps from users' functions and brokers."""

from __future__ import annotations

from typing import Any

from rayflow.core.errors import UserFunctionFailed

LAST_TIME = 253_402_300_799_999
"""The end of the year 9999 in ms: what is beyond is taken for another unit, not for a time."""


def are_times(column: list[Any]) -> bool:
    """Whether all of a column are ms since the Unix epoch: int, not negative, not beyond the year 9999.

    >>> are_times([0, 1_700_000_000_000]), are_times([1.5]), are_times([1_700_000_000_000_000])
    (True, False, False)
    """
    if set(map(type, column)) != {int}:
        return not column
    oldest, newest = span_of(column)
    return oldest >= 0 and newest <= LAST_TIME


def span_of(times: list[int]) -> tuple[int, int]:
    """The least and the greatest of a column that is not empty; most columns are in order, which is found out fast.

    >>> span_of([3, 1, 2])
    (1, 3)
    """
    if is_ascending(times):
        return times[0], times[-1]
    return min(times), max(times)


def is_ascending(times: list[int]) -> bool:
    """Whether no time is before the one that it follows.

    >>> is_ascending([1, 2, 2]), is_ascending([2, 1])
    (True, False)
    """
    return sorted(times) == times  # one pass over what is in order, in C


def checked_time(time: Any) -> int:
    """`time`, if it is one. Raises UserFunctionFailed with what is wrong; it never shows the time itself."""
    if type(time) is int and 0 <= time <= LAST_TIME:
        return time
    if type(time) is not int:
        what = f"timestamp= gave a {type(time).__name__}, not an int"
    else:
        what = f"timestamp= gave a time {'before 1970' if time < 0 else 'beyond the year 9999'}"
    raise UserFunctionFailed(what, advice="Give whole milliseconds since the Unix epoch")
