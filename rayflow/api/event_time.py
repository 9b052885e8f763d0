"""How event time advances: watermark strategies for `job.stream(..., watermark=)`."""

from __future__ import annotations

from datetime import timedelta

from rayflow.api.durations import duration_of
from rayflow.api.specs.stream import WatermarkStrategy


def bounded(
    delay: timedelta | None = None,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    milliseconds: float = 0,
) -> WatermarkStrategy:
    """Allow records to be out of order by a duration within their partition; records further behind are late.

    Raises InvalidJob for a duration below 1 ms.

    >>> import rayflow as rf
    >>> rf.bounded(seconds=5) == rf.bounded(timedelta(seconds=5))
    True
    """
    return WatermarkStrategy(
        duration_of(
            delay,
            "the delay of rf.bounded",
            days=days,
            hours=hours,
            minutes=minutes,
            seconds=seconds,
            milliseconds=milliseconds,
        )
    )


def monotonic() -> WatermarkStrategy:
    """Expect timestamps in order within a partition (the default); a record that is behind is late.

    >>> import rayflow as rf
    >>> rf.monotonic()
    WatermarkStrategy(out_of_order=0)
    """
    return WatermarkStrategy(0)


def no_watermark() -> WatermarkStrategy:
    """Never advance event time: windows close, and event-time timers fire, only when a bounded run ends.

    >>> import rayflow as rf
    >>> rf.no_watermark()
    WatermarkStrategy(out_of_order=None)
    """
    return WatermarkStrategy(None)
