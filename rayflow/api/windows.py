"""Windows of event time: tumbling and hopping."""

from __future__ import annotations

from datetime import timedelta

from rayflow.api.durations import duration_of, milliseconds_of
from rayflow.api.location import invalid
from rayflow.api.specs.window import Window


def tumbling(
    size: timedelta | None = None,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    milliseconds: float = 0,
) -> Window:
    """Windows of one size that do not overlap, aligned to the Unix epoch.

    >>> import rayflow as rf
    >>> rf.tumbling(minutes=1) == rf.tumbling(timedelta(seconds=60))
    True
    """
    length = duration_of(
        size,
        "the size of rf.tumbling",
        days=days,
        hours=hours,
        minutes=minutes,
        seconds=seconds,
        milliseconds=milliseconds,
    )
    return Window(length, length)


def hopping(
    size: timedelta | None = None,
    *,
    every: timedelta,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    milliseconds: float = 0,
) -> Window:
    """Overlapping windows of one size: a new one starts after each `every`, aligned to the Unix epoch.

    A record belongs to size / every windows. Raises InvalidJob when `every` is longer than the size.

    >>> import rayflow as rf
    >>> rf.hopping(minutes=5, every=timedelta(minutes=1))
    Window(size=300000, every=60000)
    """
    length = duration_of(
        size,
        "the size of rf.hopping",
        days=days,
        hours=hours,
        minutes=minutes,
        seconds=seconds,
        milliseconds=milliseconds,
    )
    step = milliseconds_of(every, "every=")
    if step > length:
        raise invalid(
            f"every= ({step} ms) is longer than the window ({length} ms), so records between windows would be lost",
            "Make every= at most the window's size",
        )
    return Window(length, step)
