"""The Python types that MessagePack lacks, as its extension types: their numbers and contents.

These codes are part of the format of state and checkpoints, so never change or reuse them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from rayflow.core.errors import ValueNotCarried

TUPLE, SET, FROZENSET, DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID_, INTEGER, RECORD = range(1, 12)

_FOLD = 0x80
"""Set in a month, or in the hour of a time: the second of two equal wall clock times, when the clock was set back."""

_naive = struct.Struct(">HBBBBBI")
_aware = struct.Struct(">HBBBBBIq")
_naive_time = struct.Struct(">BBBI")
_aware_time = struct.Struct(">BBBIq")
_microsecond = timedelta(microseconds=1)
_day = struct.Struct(">I")
_duration = struct.Struct(">iii")


def _from_datetime(value: datetime) -> bytes:
    month = value.month | _FOLD if value.fold else value.month
    offset = value.utcoffset()
    fields = (value.year, month, value.day, value.hour, value.minute, value.second, value.microsecond)
    return _naive.pack(*fields) if offset is None else _aware.pack(*fields, offset // _microsecond)


def _to_datetime(data: bytes) -> datetime:
    zone = None
    if len(data) == _naive.size:
        year, month, day, hour, minute, second, microsecond = _naive.unpack(data)
    else:
        year, month, day, hour, minute, second, microsecond, offset = _aware.unpack(data)
        zone = timezone(timedelta(microseconds=offset)) if offset else timezone.utc
    if month & _FOLD:
        return datetime(year, month ^ _FOLD, day, hour, minute, second, microsecond, zone, fold=1)
    return datetime(year, month, day, hour, minute, second, microsecond, zone)


def _from_time(value: time) -> bytes:
    offset = value.utcoffset()
    if offset is None and value.tzinfo is not None:
        raise ValueNotCarried("a datetime.time cannot be carried with a time zone whose offset depends on the day")
    fields = (value.hour | _FOLD if value.fold else value.hour, value.minute, value.second, value.microsecond)
    return _naive_time.pack(*fields) if offset is None else _aware_time.pack(*fields, offset // _microsecond)


def _to_time(data: bytes) -> time:
    zone = None
    if len(data) == _naive_time.size:
        hour, minute, second, microsecond = _naive_time.unpack(data)
    else:
        hour, minute, second, microsecond, offset = _aware_time.unpack(data)
        zone = timezone(timedelta(microseconds=offset)) if offset else timezone.utc
    return time(hour & ~_FOLD, minute, second, microsecond, zone, fold=hour >> 7)


def _from_int(value: int) -> bytes:
    return value.to_bytes((value.bit_length() >> 3) + 1, "big", signed=True)


PACKERS: dict[type[Any], tuple[int, Callable[[Any], bytes]]] = {
    datetime: (DATETIME, _from_datetime),
    date: (DATE, lambda value: _day.pack(value.toordinal())),
    time: (TIME, _from_time),
    timedelta: (TIMEDELTA, lambda value: _duration.pack(value.days, value.seconds, value.microseconds)),
    Decimal: (DECIMAL, lambda value: str(value).encode()),
    UUID: (UUID_, lambda value: value.bytes),
    int: (INTEGER, _from_int),
}
"""By type, its code and the function to bytes. A datetime keeps its offset from UTC; the name of its zone is lost."""

UNPACKERS: dict[int, Callable[[bytes], Any]] = {
    DATETIME: _to_datetime,
    DATE: lambda data: date.fromordinal(_day.unpack(data)[0]),
    TIME: _to_time,
    TIMEDELTA: lambda data: timedelta(*_duration.unpack(data)),
    DECIMAL: lambda data: Decimal(data.decode()),
    UUID_: lambda data: UUID(bytes=data),
    INTEGER: lambda data: int.from_bytes(data, "big", signed=True),
}
"""By code, the function from bytes; the codec itself handles containers and records."""
