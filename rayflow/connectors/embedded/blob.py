"""The format of record batches in the embedded log: a checksum, then the columns as MessagePack."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import msgspec

from rayflow.core.batch import Headers

_CHECKSUM = struct.Struct(">I")


class Columns(NamedTuple):
    """Records of one partition as columns of the same length. `headers` is None if no record has any."""

    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps: list[int]
    headers: list[Headers] | None = None

    def part(self, start: int, stop: int) -> Columns:
        """The records from `start` to `stop`, exclusive."""
        headers = None if self.headers is None else self.headers[start:stop]
        return Columns(self.keys[start:stop], self.values[start:stop], self.timestamps[start:stop], headers)


class Damaged(ValueError):
    """The bytes differ from those that were stored."""


_decoder = msgspec.msgpack.Decoder(Columns)
_encoder = msgspec.msgpack.Encoder()


def encode(columns: Columns) -> bytearray:
    """The bytes that hold `columns`.

    >>> decode(encode(Columns([b"k"], [None], [5])))
    Columns(keys=[b'k'], values=[None], timestamps=[5], headers=None)
    """
    blob = bytearray(_CHECKSUM.size)
    _encoder.encode_into(columns, blob, _CHECKSUM.size)
    _CHECKSUM.pack_into(blob, 0, zlib.crc32(memoryview(blob)[_CHECKSUM.size :]))
    return blob


def decode(blob: bytes | bytearray | memoryview) -> Columns:
    """The inverse of `encode`. Raises Damaged."""
    body = memoryview(blob)[_CHECKSUM.size :]
    if len(blob) < _CHECKSUM.size or (zlib.crc32(body),) != _CHECKSUM.unpack_from(blob):
        raise Damaged("a record batch fails its checksum")
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise Damaged("a record batch cannot be read") from error


def joined(pieces: list[Columns]) -> Columns:
    """The records of all pieces (at least one), in order."""
    first, *others = pieces
    if not others:
        return first
    result = Columns([], [], [], None if all(piece.headers is None for piece in pieces) else [])
    for piece in pieces:
        result.keys.extend(piece.keys)
        result.values.extend(piece.values)
        result.timestamps.extend(piece.timestamps)
        if result.headers is not None:
            result.headers.extend([[] for _ in piece.values] if piece.headers is None else piece.headers)
    return result
