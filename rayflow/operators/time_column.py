"""Checks timestamps from users' functions and brokers."""

from __future__ import annotations

from typing import Any

from rayflow.core.errors import UserFunctionFailed

LAST_TIME = 253_402_300_799_999
"""The end of the year 9999 in ms. A greater number is probably in another unit."""


def are_times(column: list[Any]) -> bool:
    """Whether all elements of a column are ms since the Unix epoch: int, not negative, not after the year 9999.

    >>> are_times([0, 1_700_000_000_000]), are_times([1.5]), are_times([1_700_000_000_000_000])
    (True, False, False)
    """
    if set(map(type, column)) != {int}:
        return not column
    oldest, newest = span_of(column)
    return oldest >= 0 and newest <= LAST_TIME


def look_like_seconds(times: list[int]) -> bool:
    """Whether the times of a column are probably seconds: as ms they lie within some weeks of 1970, and as seconds
    between the years 2000 and 2100.

    >>> look_like_seconds([1_700_000_000]), look_like_seconds([1_700_000_000_000]), look_like_seconds([0, 60_000])
    (True, False, False)
    """
    return bool(times) and 946_684_800 <= min(times) <= 4_102_444_800


SECONDS = "timestamp= gives times in January or February 1970: probably seconds, not milliseconds"
"""The warning for such times."""
TIMES_1000 = "Return milliseconds since the Unix epoch: seconds * 1000"
"""The advice that belongs to it."""


def span_of(times: list[int]) -> tuple[int, int]:
    """The minimum and the maximum of a non-empty column. Most columns are sorted, which is checked fast.

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
    return sorted(times) == times  # one pass in C if it is sorted


def checked_time(time: Any) -> int:
    """Return `time` if it is valid. Raises UserFunctionFailed with the reason, which never contains the time itself."""
    if type(time) is int and 0 <= time <= LAST_TIME:
        return time
    if type(time) is not int:
        what = f"timestamp= gave a {type(time).__name__}, not an int"
    else:
        what = f"timestamp= gave a time {'before 1970' if time < 0 else 'beyond the year 9999'}"
    raise UserFunctionFailed(what, advice="Return whole milliseconds since the Unix epoch (int)")
