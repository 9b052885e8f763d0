"""The state of the loop by hand, in LMDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import lmdb
import msgspec

Offsets: TypeAlias = dict[int, int]
Changes: TypeAlias = dict[bytes, Any]
"""Rows that changed since the last commit; None deletes."""

pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder().decode


class State:
    """Rows in LMDB, and beside them, not yet part of them, the changes of the last commit with its offsets."""

    def __init__(self, folder: Path, committed: Offsets) -> None:
        self._env = lmdb.open(str(folder), map_size=4 << 30, max_dbs=2)
        self._rows, self._about = self._env.open_db(b"rows"), self._env.open_db(b"about")
        self._staged: tuple[Offsets, list[tuple[bytes, bytes | None]]] | None = None
        with self._env.begin(write=True) as transaction:
            found = transaction.pop(b"staged", db=self._about)
            if found is not None:
                offsets, changes = unpack(found)
                if offsets == committed:
                    self._fold(transaction, offsets, changes)
            known = transaction.get(b"offsets", db=self._about)
            self.offsets: Offsets = {} if known is None else unpack(known)
            self.rows = {key: unpack(row) for key, row in transaction.cursor(self._rows)}
        if self.offsets != committed:
            raise RuntimeError(f"the state is at {self.offsets}, the group at {committed}")

    def stage(self, changes: Changes, offsets: Offsets) -> None:
        """Write what a commit is about to make true."""
        packed = [(key, None if row is None else pack(row)) for key, row in sorted(changes.items())]
        self.fold()
        with self._env.begin(write=True) as transaction:
            transaction.put(b"staged", pack((offsets, packed)), db=self._about)
        self._staged = (dict(offsets), packed)

    def fold(self) -> None:
        """The last commit has happened: its changes become rows."""
        if self._staged is not None:
            with self._env.begin(write=True) as transaction:
                self._fold(transaction, *self._staged)
            self._staged = None

    def _fold(self, transaction: Any, offsets: Offsets, changes: list[tuple[bytes, bytes | None]]) -> None:
        for key, row in changes:
            if row is None:
                transaction.delete(key, db=self._rows)
            else:
                transaction.put(key, row, db=self._rows)
        transaction.put(b"offsets", pack(offsets), db=self._about)
