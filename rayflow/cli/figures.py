"""Formats sizes and times for people."""

from __future__ import annotations

from datetime import datetime, timezone


def size_text(size: float) -> str:
    """Bytes with a binary unit.

    >>> size_text(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def time_text(timestamp: int) -> str:
    """A time in ms since the epoch, in UTC, to the second; the bare number when no calendar has it.

    >>> time_text(0)
    '1970-01-01 00:00:00'
    """
    try:
        return datetime.fromtimestamp(timestamp / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)
