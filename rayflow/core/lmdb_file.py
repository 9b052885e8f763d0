"""Checks an LMDB data file before it is mapped: a truncated file would kill the process with SIGBUS.

The layout is that of LMDB 0.9 on 64-bit machines (`mdb.c`: MDB_page, MDB_meta, MDB_db, MDB_node), data format 1.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

from rayflow.core.errors import DamagedObject

_PAGE = struct.Struct("<QHHHH")
_META = struct.Struct("<IIQQ")
_TREE = struct.Struct("<IHHQQQQQ")
_TAIL = struct.Struct("<QQ")
_NODE = struct.Struct("<HHHH")
_MAGIC, _FORMAT = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _META_PAGE = 0x01, 0x02, 0x08
_BIG = 0x01
_NO_PAGE = 0xFFFFFFFFFFFFFFFF


class _Meta(NamedTuple):
    page_size: int
    roots: tuple[int, int]
    last_page: int
    transaction: int


def check_data_file(path: Path, what: str, advice: str) -> None:
    """Refuse a data file that is not LMDB's, or that ends before the pages that its newest commit needs.

    A file that does not exist, or is empty, is a new one. Raises DamagedObject: "`what` `path` is damaged: ...", with
    `advice`.
    """

    def damaged(why: str) -> DamagedObject:
        return DamagedObject(f"{what} {path} is damaged: {why}", advice=advice)

    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    if size == 0:
        return
    with path.open("rb") as file:
        while True:
            meta = _newest_meta(file.fileno())
            if meta is None:
                raise damaged("it is not an LMDB data file of format 1")
            size = os.fstat(file.fileno()).st_size
            # A page that a transaction allocated and freed may never have been written: only a walk can tell.
            if (meta.last_page + 1) * meta.page_size <= size or _reachable(file.fileno(), size, meta):
                return
            again = _newest_meta(file.fileno())
            if again is not None and again.transaction == meta.transaction:
                raise damaged("it is cut short")


def _newest_meta(file: int) -> _Meta | None:
    first = _meta_at(file, 0)
    second = _meta_at(file, first.page_size) if first else None
    metas = [meta for meta in (first, second) if meta]
    return max(metas, key=lambda meta: meta.transaction) if len(metas) == 2 else None


def _meta_at(file: int, offset: int) -> _Meta | None:
    size = _PAGE.size + _META.size + 2 * _TREE.size + _TAIL.size
    data = os.pread(file, size, offset)
    if len(data) < size:
        return None
    flags = _PAGE.unpack_from(data)[2]
    magic, version = _META.unpack_from(data, _PAGE.size)[:2]
    if not flags & _META_PAGE or magic != _MAGIC or version != _FORMAT:
        return None
    at = _PAGE.size + _META.size
    free, main = _TREE.unpack_from(data, at), _TREE.unpack_from(data, at + _TREE.size)
    last_page, transaction = _TAIL.unpack_from(data, at + 2 * _TREE.size)
    page_size = free[0]
    if page_size < 512 or page_size > 65536 or page_size & (page_size - 1):
        return None
    return _Meta(page_size, (free[-1], main[-1]), last_page, transaction)


def _reachable(file: int, size: int, meta: _Meta) -> bool:
    """Whether every page of both trees is within the file."""
    waiting = [root for root in meta.roots if root != _NO_PAGE]
    with mmap.mmap(file, size, access=mmap.ACCESS_READ) as data:
        while waiting:
            number = waiting.pop()
            start = number * meta.page_size
            if start + meta.page_size > size:
                return False
            own, _, flags, lower, _ = _PAGE.unpack_from(data, start)
            if own != number or lower < _PAGE.size or lower > meta.page_size:
                return False
            pointers = struct.unpack_from(f"<{(lower - _PAGE.size) >> 1}H", data, start + _PAGE.size)
            for pointer in pointers:
                if pointer + _NODE.size > meta.page_size:
                    return False
                low, high, node_flags, key_size = _NODE.unpack_from(data, start + pointer)
                if flags & _BRANCH:
                    waiting.append(low | high << 16 | node_flags << 32)
                elif flags & _LEAF and node_flags & _BIG:
                    at = start + pointer + _NODE.size + key_size
                    if at + 8 > size:
                        return False
                    (big,) = struct.unpack_from("<Q", data, at)
                    if big * meta.page_size + _PAGE.size + (low | high << 16) > size:
                        return False
    return True
