"""The keys of the rows of a task's tables in its store.

A row key is four bytes that stand for the table, then the row's encoded key (of a nested table: namespace, then key).
LMDB takes at most 511 bytes. A longer row goes to a region of its own behind the table's other rows: table, FF (no
encoded key begins with it), a hash of the namespace so that a namespace's rows stay together, a hash of the whole
encoded key. Its value then begins with the encoded key itself, so that it can be read back and a collision be seen.
"""

from __future__ import annotations

from hashlib import blake2b

LIMIT = 511
"""Bytes that a row key may have."""

PREFIX = 4
"""Bytes of a row key that stand for the table."""

LONGEST = LIMIT - PREFIX
"""Bytes that an encoded key may have to be stored as it is."""

BEYOND = b"\xff"
"""Sorts after every encoded key, and so ends any range of them."""

_GROUP = 16
_DIGEST = 32
_LENGTH = 4


def table_prefix(operator: str, name: str) -> bytes:
    """The bytes that stand for a table.

    >>> table_prefix("totals", "sum").hex()
    'c4f32c59'
    """
    return blake2b(f"{operator}/{name}".encode(), digest_size=PREFIX).digest()


def table_end(prefix: bytes) -> bytes | None:
    """The first row key after all of a table's; None when the table is the last that there can be."""
    after = int.from_bytes(prefix, "big") + 1
    return None if after >> (8 * PREFIX) else after.to_bytes(PREFIX, "big")


def long_group(prefix: bytes, namespace: bytes) -> bytes:
    """What the long rows of one encoded namespace begin with."""
    return prefix + BEYOND + blake2b(namespace, digest_size=_GROUP).digest()


def long_row_key(prefix: bytes, namespace: bytes, encoded: bytes) -> bytes:
    """The row key of a long row. `encoded` holds the namespace too."""
    return long_group(prefix, namespace) + digest(encoded)


def digest(encoded: bytes) -> bytes:
    """The hash that a long key is stored under."""
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
