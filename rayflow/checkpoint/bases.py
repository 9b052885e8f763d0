"""Bases: full copies of one task's rows, in parts, so that a restore does not have to start at the first delta.

A part: 6 bytes of magic, the format's version, the length of the body, a CRC-32 over these and the body, and the body
(MessagePack: keys, values).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import add
from zlib import crc32

import msgspec

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, FormatTooNew
from rayflow.core.ids import Epoch
from rayflow.state.base import Rows

FORMAT = 1
PART_BYTES = 4 << 20
"""Bytes of rows in one part of a base, which is read and encoded at once. A larger row is in its own part."""

_MAGIC = b"RFBAS\n"
_HEAD = struct.Struct("<6sHQI")
_VERSIONED = struct.Struct("<HQ")
_ROW_OVERHEAD = 10  # two MessagePack bin headers of at most 5 bytes


@dataclass(frozen=True, slots=True)
class BaseRef:
    """A complete base of one task: its rows at the end of `epoch`.

    Attributes:
        parts: names of its objects, in key order.
        bytes: their total size.
    """

    epoch: Epoch
    parts: tuple[str, ...]
    bytes: int


def encode_base_part(rows: Rows) -> list[bytes]:
    """One part with `rows`, as the buffers to write one after the other.

    >>> decode_base_part("example", b"".join(encode_base_part(([b"k"], [b"v"]))))
    ([b'k'], [b'v'])
    """
    body = msgspec.msgpack.encode(rows)
    crc = crc32(_VERSIONED.pack(FORMAT, len(body)), crc32(body))
    return [_HEAD.pack(_MAGIC, FORMAT, len(body), crc), body]


def decode_base_part(name: str, data: bytes) -> Rows:
    """The rows of a part. Raises DamagedObject with its name, FormatTooNew."""
    keys, values = msgspec.msgpack.decode(check_base_part(name, data), type=tuple[list[bytes], list[bytes]])
    return keys, values


def check_base_part(name: str, data: bytes) -> memoryview:
    """The body of a part, after its checksum was verified. Raises DamagedObject with its name, FormatTooNew."""
    if len(data) < _HEAD.size or not data.startswith(_MAGIC):
        raise DamagedObject(f"{name} is truncated, or is not part of a base")
    _, version, length, crc = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    if len(body) != length or crc32(_VERSIONED.pack(version, length), crc32(body)) != crc:
        raise DamagedObject(f"{name} fails its checksum")
    if version > FORMAT:
        raise FormatTooNew(f"{name} has format {version}; this rayflow reads up to {FORMAT}")
    return body


def read_base(store: CheckpointStore, base: BaseRef) -> Iterator[Rows]:
    """The rows of a base, one run per part. Raises DamagedObject, ObjectMissing, FormatTooNew."""
    for name in base.parts:
        yield decode_base_part(name, store.get(name))


def split_rows(runs: Iterable[Rows], limit: int) -> Iterator[Rows]:
    """The same rows in runs as large as possible within `limit` encoded bytes. A larger row is a run of its own.

    >>> [keys for keys, _ in split_rows([([b"a"], [b"1"]), ([b"b", b"c"], [b"2", b"3"])], limit=24)]
    [[b'a', b'b'], [b'c']]
    """
    keys: list[bytes] = []
    values: list[bytes] = []
    held = 0
    for more_keys, more_values in runs:
        sizes = map(add, map(len, more_keys), map(len, more_values))
        ends = list(accumulate(map(_ROW_OVERHEAD.__add__, sizes)))
        first = 0
        taken = 0
        while ends and held + ends[-1] - taken > limit:
            stop = bisect_right(ends, limit - held + taken, lo=first)
            if stop == first and not keys:
                stop += 1
            keys += more_keys[first:stop]
            values += more_values[first:stop]
            yield keys, values
            keys, values, held = [], [], 0
            taken = ends[stop - 1] if stop else 0
            first = stop
        keys += more_keys[first:]
        values += more_values[first:]
        held += (ends[-1] if ends else 0) - taken
    if keys:
        yield keys, values
