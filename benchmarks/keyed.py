"""Records with as many keys, and values as long, as a benchmark asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.orders import BEGIN

KEY = 8
"""Bytes of a key."""


def key_of(number: int) -> bytes:
    """A key, from its number.

    >>> key_of(12)
    b'k0000012'
    """
    return b"k%07d" % number


def values(keys: Iterable[int], size: int, begin: int = 0) -> Iterator[tuple[bytes, bytes, int]]:
    """A record per key, in order; each value begins with the record's number and is `size` bytes long."""
    padding = b"x" * (size - 12)
    for number, key in enumerate(keys, begin):
        yield key_of(key), b"%011d " % number + padding, BEGIN + number


def number_of(value: bytes) -> int:
    """The number that a value begins with."""
    return int(value[:11])
