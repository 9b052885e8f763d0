"""The keys of the rows of a task's tables in its store.

A row key is four bytes that identify the table, then the row's encoded key (of a nested table: namespace, then key).
LMDB accepts at most 511 bytes. A longer row goes to a region after the table's other rows. Its key is: table, FF (no
encoded key begins with it), a hash of the namespace so that a namespace's rows stay together, a hash of the whole
encoded key. Its value begins with the encoded key itself, so that it can be read back and a collision is noticed.
"""

from __future__ import annotations

from hashlib import blake2b

LIMIT = 511
"""The maximum length of a row key in bytes."""

PREFIX = 4
"""The bytes of a row key that identify the table."""

LONGEST = LIMIT - PREFIX
"""The maximum length of an encoded key that is stored unchanged, in bytes."""

BEYOND = b"\xff"
"""Sorts after every encoded key, so it ends any range of them."""

_GROUP = 16
_DIGEST = 32
_LENGTH = 4


def table_prefix(operator: str, name: str) -> bytes:
    """The bytes that identify a table.

    >>> table_prefix("totals", "sum").hex()
    'c4f32c59'
    """
    return blake2b(f"{operator}/{name}".encode(), digest_size=PREFIX).digest()


def table_end(prefix: bytes) -> bytes | None:
    """The first row key after those of a table; None if no table can follow."""
    after = int.from_bytes(prefix, "big") + 1
    return None if after >> (8 * PREFIX) else after.to_bytes(PREFIX, "big")


def long_group(prefix: bytes, namespace: bytes) -> bytes:
    """The first bytes of the long rows of one encoded namespace."""
    return prefix + BEYOND + blake2b(namespace, digest_size=_GROUP).digest()


def long_row_key(prefix: bytes, namespace: bytes, encoded: bytes) -> bytes:
    """The row key of a long row. `encoded` includes the namespace."""
    return long_group(prefix, namespace) + digest(encoded)


def digest(encoded: bytes) -> bytes:
    """The hash under which a long key is stored."""
    return blake2b(encoded, digest_size=_DIGEST).digest()


def pack_long(encoded: bytes, data: bytes) -> bytes:
    """The value of a long row: its encoded key, then its data."""
    return len(encoded).to_bytes(_LENGTH, "big") + encoded + data


def unpack_long(value: bytes) -> tuple[bytes, bytes]:
    """The encoded key and the data of a long row.

    >>> unpack_long(pack_long(b"key", b"data"))
    (b'key', b'data')
    """
    end = _LENGTH + int.from_bytes(value[:_LENGTH], "big")
    return value[_LENGTH:end], value[end:]
