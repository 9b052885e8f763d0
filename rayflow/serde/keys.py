"""Keys as bytes whose order is the keys' own order: what rows of state are sorted by, and exchanges hash.

The encoding is modelled on FoundationDB's tuple layer: one byte for the type, then the value in a form that sorts as
bytes. No encoding is the prefix of another, so encoded keys can be concatenated and separated again.

| type | after the type's byte |
| --- | --- |
| None, bool | nothing |
| bytes, str (UTF-8) | the bytes with 00 -> 01 01 and 01 -> 01 02, then 00 |
| tuple | its items, then 00 (no type's byte is 00) |
| int | big-endian; the type's byte tells the number of bytes; the ones' complement if negative |
| float | IEEE 754, big-endian, the sign turned (all bits, for negative numbers) |
| datetime | microseconds since the Unix epoch; comes back in UTC |
| date, UUID | the day's ordinal; 16 bytes |

Keys of different types sort by type. Types are exact: a subclass (an enum, a named tuple) is refused, because it would
come back as another type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from itertools import chain
from typing import Any
from uuid import UUID

from rayflow.core.errors import DamagedObject, KeyNotUsable

_END = b"\x00"
_NONE, _BYTES, _STR, _TUPLE = 0x01, 0x02, 0x03, 0x05
_LONG_NEGATIVE, _ZERO, _LONG_POSITIVE = 0x17, 0x20, 0x29
_FLOAT, _FALSE, _TRUE, _UUID, _DATETIME, _DATE = 0x30, 0x38, 0x39, 0x40, 0x48, 0x49

_CODE = [bytes([code]) for code in range(256)]
_BYTES_CODE, _STR_CODE, _TUPLE_CODE, _UUID_CODE = _CODE[_BYTES], _CODE[_STR], _CODE[_TUPLE], _CODE[_UUID]

_SHORT = 8
"""Integers of at most this many bytes have their length in the type's byte; longer ones in the four bytes after it."""

_AMBIGUOUS = frozenset([float, bool, tuple])
"""Types with values that may equal one of another type, or that may contain such a value."""

_float = struct.Struct(">Bd")
_word = struct.Struct(">BQ")
_day = struct.Struct(">BI")
_length = struct.Struct(">BI")
_all_ones = (1 << 64) - 1
_sign = 1 << 63
_unix_epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
_microsecond = timedelta(microseconds=1)
_first_instant = (datetime.min.replace(tzinfo=timezone.utc) - _unix_epoch) // _microsecond
_last_instant = (datetime.max.replace(tzinfo=timezone.utc) - _unix_epoch) // _microsecond


def encode_key(key: Any) -> bytes:
    """Encode a key of one of the supported types exactly; the bytes sort like the keys of one type.

    Raises KeyNotUsable for an unsupported type, NaN, a datetime without time zone, and text that is not Unicode.

    >>> encode_key("a") < encode_key("ab") < encode_key("b")
    True
    >>> encode_key(-300) < encode_key(-2) < encode_key(0) < encode_key(1000)
    True
    """
    kind = type(key)
    try:
        if kind is str:
            if "\x00" in key or "\x01" in key:
                return _STR_CODE + _escape(key.encode()) + _END
            data: bytes = f"\x03{key}\x00".encode()
            return data
        encoder = _ENCODERS.get(kind)
        if encoder is None:
            raise KeyNotUsable(f"a key of type {kind.__module__}.{kind.__qualname__} cannot be used")
        return encoder(key)
    except UnicodeEncodeError:
        raise KeyNotUsable("a key is text that is not valid Unicode (it holds half of a surrogate pair)") from None
    except RecursionError:
        raise KeyNotUsable("a key is a tuple that is nested too deeply") from None


def decode_key(data: bytes, at: int = 0) -> tuple[Any, int]:
    """The key that begins at byte `at`, and the position after it. Raises DamagedObject.

    >>> row = encode_key(("u1", 5)) + encode_key(1.5)
    >>> key, end = decode_key(row)
    >>> key, decode_key(row, end)[0]
    (('u1', 5), 1.5)
    """
    try:
        return _DECODERS[data[at]](data, at)
    except (IndexError, ValueError, OverflowError, RecursionError, struct.error):
        raise DamagedObject("a stored key cannot be read: its bytes are damaged") from None


def encode_canonical(key: Any) -> bytes:
    """The canonical bytes of a key: like `encode_key`, but keys that are equal in Python (1, 1.0 and True) have the
    same bytes. State keeps its rows in the order of these bytes, and an exchange hashes them: equal keys go to one
    partition and share one row there, like in a dict. Raises KeyNotUsable.

    >>> encode_canonical(1.0) == encode_canonical(True) == encode_canonical(1)
    True
    """
    return encode_key(as_equal(key) if type(key) in _AMBIGUOUS else key)


def as_equal(key: Any) -> Any:
    """The representative of all keys that are equal to this one in Python: an int instead of a bool or a float.

    >>> as_equal(2.0), as_equal((True, "a", 0.5))
    (2, (1, 'a', 0.5))
    """
    try:
        return _as_equal(key)
    except RecursionError:
        raise KeyNotUsable("a key is a tuple that is nested too deeply") from None


def all_as_equal(keys: list[Any], kinds: set[type[Any]] | None = None) -> list[Any]:
    """`as_equal` of each key of a column; the column itself if none can differ. `kinds`: their types, if known."""
    if kinds is None:
        kinds = set(map(type, keys))
    if kinds == {tuple}:
        kinds = set(map(type, chain.from_iterable(keys)))
    return keys if kinds.isdisjoint(_AMBIGUOUS) else list(map(as_equal, keys))


def encode_all_canonical(keys: Collection[Any]) -> list[bytes]:
    """`encode_canonical` of each key of a column; several times faster if all are plain text."""
    if set(map(type, keys)) == {str}:
        text = "".join(keys)
        if not ("\x00" in text or "\x01" in text):
            with suppress(UnicodeEncodeError):  # `encode_key` raises the error
                return [f"\x03{key}\x00".encode() for key in keys]
    return list(map(encode_key, all_as_equal(list(keys))))


def _as_equal(key: Any) -> Any:
    kind = type(key)
    if kind is tuple:
        return key if _AMBIGUOUS.isdisjoint(map(type, key)) else tuple(map(_as_equal, key))
    if kind is bool or (kind is float and key.is_integer()):
        return int(key)
    return key


def _escape(data: bytes) -> bytes:
    return data.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")


def _encode_none(key: None) -> bytes:
    return b"\x01"


def _encode_bytes(key: bytes) -> bytes:
    if 0 in key or 1 in key:  # finding a number is several times faster than finding bytes
        key = _escape(key)
    return _BYTES_CODE + key + _END


def _encode_bool(key: bool) -> bytes:
    return b"\x39" if key else b"\x38"


def _encode_int(key: int) -> bytes:
    size = (key.bit_length() + 7) >> 3
    if size <= _SHORT:
        if key >= 0:
            return _CODE[_ZERO + size] + key.to_bytes(size, "big")
        return _CODE[_ZERO - size] + (key + (1 << (size << 3)) - 1).to_bytes(size, "big")
    if key >= 0:
        return _length.pack(_LONG_POSITIVE, size) + key.to_bytes(size, "big")
    return _length.pack(_LONG_NEGATIVE, 0xFFFFFFFF - size) + (key + (1 << (size << 3)) - 1).to_bytes(size, "big")


def _encode_float(key: float) -> bytes:
    if key != key:
        raise KeyNotUsable("a key is not a number (NaN): it equals nothing, not even itself")
    data = _float.pack(_FLOAT, key + 0.0)  # -0.0 equals 0.0, so it is the same key
    bits = _word.unpack(data)[1]
    return _word.pack(_FLOAT, bits ^ _all_ones if bits & _sign else bits ^ _sign)


def _encode_tuple(key: tuple[Any, ...]) -> bytes:
    return _TUPLE_CODE + b"".join(map(encode_key, key)) + _END


def _encode_uuid(key: UUID) -> bytes:
    return _UUID_CODE + key.bytes


def _encode_datetime(key: datetime) -> bytes:
    if key.utcoffset() is None:
        raise KeyNotUsable("a key is a datetime without a time zone", advice="Give it one: value.replace(tzinfo=...)")
    instant = (key - _unix_epoch) // _microsecond
    if not _first_instant <= instant <= _last_instant:
        raise KeyNotUsable("a key is a datetime outside of the years 1 to 9999 in UTC")
    return _word.pack(_DATETIME, instant + _sign)


def _encode_date(key: date) -> bytes:
    return _day.pack(_DATE, key.toordinal())


_ENCODERS: dict[type[Any], Callable[[Any], bytes]] = {
    bytes: _encode_bytes,
    str: encode_key,
    int: _encode_int,
    tuple: _encode_tuple,
    float: _encode_float,
    bool: _encode_bool,
    type(None): _encode_none,
    UUID: _encode_uuid,
    datetime: _encode_datetime,
    date: _encode_date,
}


def _damaged(data: bytes, at: int) -> tuple[Any, int]:
    raise ValueError


def _decode_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.index(_END, at)
    raw = data[at + 1 : end]
    if 1 in raw:
        plain = raw.replace(b"\x01\x01", b"\x00").replace(b"\x01\x02", b"\x01")
        if _escape(plain) != raw:
            raise ValueError
        raw = plain
    return raw, end + 1


def _decode_str(data: bytes, at: int) -> tuple[str, int]:
    raw, end = _decode_bytes(data, at)
    return raw.decode(), end


def _decode_tuple(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
    items = []
    at += 1
    while code := data[at]:
        item, at = _DECODERS[code](data, at)
        items.append(item)
    return tuple(items), at + 1


def _decode_short(data: bytes, at: int) -> tuple[int, int]:
    size = data[at] - _ZERO
    at += 1
    if size < 0:
        return _negative(data, at, -size), at - size
    end = at + size
    if end > len(data):
        raise ValueError
    return int.from_bytes(data[at:end], "big"), end


def _decode_long_positive(data: bytes, at: int) -> tuple[int, int]:
    size = _length.unpack_from(data, at)[1]
    return _positive(data, at + 5, size), at + 5 + size


def _decode_long_negative(data: bytes, at: int) -> tuple[int, int]:
    size = 0xFFFFFFFF - _length.unpack_from(data, at)[1]
    return _negative(data, at + 5, size), at + 5 + size


def _taken(data: bytes, at: int, size: int) -> bytes:
    raw = data[at : at + size]
    if len(raw) != size:
        raise ValueError
    return raw


def _positive(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_taken(data, at, size), "big")


def _negative(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_taken(data, at, size), "big") - (1 << (size << 3)) + 1


def _decode_float(data: bytes, at: int) -> tuple[float, int]:
    bits = _word.unpack_from(data, at)[1]
    value: float = _float.unpack(_word.pack(_FLOAT, bits ^ _sign if bits & _sign else bits ^ _all_ones))[1]
    return value, at + 9


def _decode_uuid(data: bytes, at: int) -> tuple[UUID, int]:
    return UUID(bytes=data[at + 1 : at + 17]), at + 17


def _decode_datetime(data: bytes, at: int) -> tuple[datetime, int]:
    return _unix_epoch + timedelta(microseconds=_word.unpack_from(data, at)[1] - _sign), at + 9


def _decode_date(data: bytes, at: int) -> tuple[date, int]:
    return date.fromordinal(_day.unpack_from(data, at)[1]), at + 5


_BY_CODE: dict[int, Callable[[bytes, int], tuple[Any, int]]] = {
    _NONE: lambda data, at: (None, at + 1),
    _BYTES: _decode_bytes,
    _STR: _decode_str,
    _TUPLE: _decode_tuple,
    _LONG_NEGATIVE: _decode_long_negative,
    **dict.fromkeys(range(_ZERO - _SHORT, _ZERO + _SHORT + 1), _decode_short),
    _LONG_POSITIVE: _decode_long_positive,
    _FLOAT: _decode_float,
    _FALSE: lambda data, at: (False, at + 1),
    _TRUE: lambda data, at: (True, at + 1),
    _UUID: _decode_uuid,
    _DATETIME: _decode_datetime,
    _DATE: _decode_date,
}
_DECODERS = [_BY_CODE.get(code, _damaged) for code in range(256)]
