"""Assigns keys to partitions with a hash that is the same in every process, machine and version."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any


def partition_of(data: bytes, partitions: int) -> int:
    """The partition, 0 to `partitions` - 1, of a serialised key in an exchange (CRC-32).

    >>> partition_of(b"u01234", 4)
    0
    """
    return zlib.crc32(data) % partitions


class Partitioner(dict[Any, int]):
    """Maps keys to partitions, with a cache: `map(partitioner.__getitem__, keys)` has the speed of a dict for known
    keys.

    Args:
        partitions: how many there are.
        encode: the bytes of a key; keys that are equal must give equal bytes.
        hash_of: a hash of those bytes, not negative: CRC-32, or `murmur2` to agree with Kafka's clients.
        bound: forget all keys when this many are remembered.

    >>> partitioner = Partitioner(4, str.encode)
    >>> [partitioner[key] for key in ["u01234", "u01234"]]
    [0, 0]
    """

    __slots__ = ("_bound", "_encode", "_hash_of", "partitions")

    def __init__(
        self,
        partitions: int,
        encode: Callable[[Any], bytes],
        hash_of: Callable[[bytes], int] = zlib.crc32,
        bound: int = 200_000,
    ) -> None:
        super().__init__()
        self.partitions = partitions
        self._encode = encode
        self._hash_of = hash_of
        self._bound = bound

    def __missing__(self, key: Any) -> int:
        partition = self._hash_of(self._encode(key)) % self.partitions
        if len(self) >= self._bound:
            self.clear()
        self[key] = partition
        return partition


def murmur2(data: bytes) -> int:
    """Murmur2 as Kafka's Java client hashes keys, made positive: `murmur2(key) % partitions` is its partition.

    Source: org.apache.kafka.common.utils.Utils, `murmur2` and `toPositive`.

    >>> murmur2(b"21") % 12
    0
    """
    length = len(data)
    whole = length >> 2
    h = 0x9747B28C ^ length
    for k in struct.unpack_from(f"<{whole}I", data):
        k = k * 0x5BD1E995 & 0xFFFFFFFF
        h = (h * 0x5BD1E995 & 0xFFFFFFFF) ^ ((k ^ k >> 24) * 0x5BD1E995 & 0xFFFFFFFF)
    if length & 3:
        h = (h ^ int.from_bytes(data[whole << 2 :], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return (h ^ h >> 15) & 0x7FFFFFFF
