"""The keys of the rows of an ordered table in the store: by key and time, with an index by time.

| row | key | value |
| --- | --- | --- |
| row | table, encoded key, time, sequence | its data |
| index | table, 00, time, encoded key, sequence | nothing |

The time has 8 bytes (signed, with the sign bit inverted), the sequence 4. Together they are a row's *position*. No
encoded key begins with 00, so the index precedes the rows. An encoded key of more than LONGEST bytes is replaced in
both by FF and its hash, and stored before the data of the row and in the value of the index. The order by time stays
the same.
"""

from __future__ import annotations

from struct import Struct

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.state import row_keys
from rayflow.state.row_keys import BEYOND, LIMIT, PREFIX, pack_long, unpack_long

FIRST, LAST = WATERMARK_MIN, WATERMARK_MAX
"""The first and the last possible time."""

_TIME, _SEQUENCE = 8, 4
_POSITION = _TIME + _SEQUENCE
_INDEX = PREFIX + 1
LONGEST = LIMIT - _INDEX - _POSITION
"""The maximum length of an encoded key that is stored unchanged, in bytes."""

_position = Struct(">QI")
_SIGN = 1 << 63


def position(time: int, sequence: int) -> bytes:
    """The last part of a row's key.

    >>> position(-1, 0) < position(5, 1) < position(5, 2) < position(6, 0)
    True
    """
    return _position.pack(time + _SIGN, sequence)


def positions_of(found: list[tuple[bytes, bytes]]) -> tuple[list[int], list[int]]:
    """Times and sequences of rows.

    >>> positions_of([(b"table" + position(-7, 3), b"data")])
    ([-7], [3])
    """
    if not found:
        return [], []
    times, sequences = zip(*map(_position.unpack, [row_key[-_POSITION:] for row_key, _ in found]), strict=True)
    return [time - _SIGN for time in times], list(sequences)


class TimeKeys:
    """The row keys of one ordered table."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._index = prefix + b"\x00"

    def base(self, encoded: bytes) -> bytes:
        """The first part of the keys of an encoded key's rows."""
        if len(encoded) <= LONGEST:
            return self._prefix + encoded
        return self._prefix + BEYOND + row_keys.digest(encoded)

    def span(self, base: bytes, first: int, last: int) -> tuple[bytes, bytes]:
        """The range of the rows of a key with first <= time <= last: start and stop."""
        return base + position(first, 0), base + position(last, 0)[:_TIME] + BEYOND * (_SEQUENCE + 1)

    def row_and_index(self, base: bytes, time: int, sequence: int) -> tuple[bytes, bytes]:
        """The keys of a row and of its index."""
        at = _position.pack(time + _SIGN, sequence)
        return base + at, self._index + at[:_TIME] + base[PREFIX:] + at[_TIME:]

    def index_from(self, time: int) -> bytes:
        """The start of the index of a time."""
        return self._index + position(time, 0)[:_TIME]

    @property
    def index_end(self) -> bytes:
        """The end of the index."""
        return self._index + BEYOND * (_TIME + 1)

    @staticmethod
    def indexed_time(index_key: bytes) -> int:
        """The time of an index entry's row."""
        return int.from_bytes(index_key[_INDEX : _INDEX + _TIME], "big") - _SIGN

    @staticmethod
    def indexed_sequence(index_key: bytes) -> int:
        """The sequence of an index entry's row."""
        return int.from_bytes(index_key[-_SEQUENCE:], "big")

    def indexed_row(self, index_key: bytes) -> bytes:
        """The key of an index entry's row."""
        return (
            self._prefix
            + index_key[_INDEX + _TIME : -_SEQUENCE]
            + index_key[_INDEX : _INDEX + _TIME]
            + index_key[-_SEQUENCE:]
        )

    @staticmethod
    def indexed_key(index_key: bytes, value: bytes) -> bytes:
        """The encoded key of an index entry's row."""
        return value or index_key[_INDEX + _TIME : -_SEQUENCE]


def stored(encoded: bytes, data: bytes) -> bytes:
    """The value of a row."""
    return data if len(encoded) <= LONGEST else pack_long(encoded, data)


def index_value(encoded: bytes) -> bytes:
    """The value of an index entry."""
    return b"" if len(encoded) <= LONGEST else encoded


def data_of(encoded: bytes, value: bytes) -> bytes:
    """The data of a row that was found for an encoded key. Raises InvariantBroken if it belongs to another key."""
    if len(encoded) <= LONGEST:
        return value
    found, data = unpack_long(value)
    check_hash(encoded, found)
    return data


def check_hash(encoded: bytes, found: bytes) -> None:
    """Check two long keys with the same hash. Raises InvariantBroken if they differ."""
    if found != encoded:
        raise InvariantBroken("two long keys of one state have the same hash", advice="Use shorter keys")
