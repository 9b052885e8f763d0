"""Attempt numbers. Each is claimed by creating an object, so no two processes use the same number."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.layout import ATTEMPTS, AttemptObject, attempt_name, parse_name
from rayflow.checkpoint.manifest import Manifest, read_current, read_manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, ObjectExists, ObjectMissing
from rayflow.core.ids import Attempt, Epoch, WorkerId


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    host: str
    pid: int
    slots: tuple[int, ...]
    lineage: str


def claim_attempt(store: CheckpointStore, slots: Sequence[WorkerId] = (), lineage: str = "") -> Claim:
    """Claim the next attempt number, exclusively. Raises DamagedObject for a claim that cannot be read.

    `slots`: those of the attempt's workers. `lineage`: hex of a new UUID.

    >>> from rayflow.checkpoint.open import open_store
    >>> store = open_store("memory:")
    >>> claim_attempt(store, [0, 1], "aa")
    Claim(attempt=1, slots=(0, 1), lineage='aa')
    >>> claim_attempt(store, [2], "bb")
    Claim(attempt=2, slots=(0, 1, 2), lineage='aa')
    """
    while True:
        committed = _newest_committed(store)
        newest = newest_attempt(store)
        if committed is not None and committed.attempt == newest:
            earlier = Claim(newest, committed.workers)
        else:
            try:
                earlier = read_claim(store, newest) if newest else Claim(0)
            except ObjectMissing:  # a later attempt has committed, and retention has deleted the claim
                continue
        begun = lineage if committed is not None else earlier.lineage or lineage
        claim = Claim(newest + 1, tuple(sorted({*slots, *earlier.slots})), begun)
        wire = {"host": socket.gethostname(), "pid": os.getpid(), "slots": claim.slots, "lineage": claim.lineage}
        with suppress(ObjectExists):
            store.create(attempt_name(claim.attempt), json.dumps(wire).encode())
            return claim


def read_claim(store: CheckpointStore, attempt: Attempt) -> Claim:
    """The claim of an attempt. Raises ObjectMissing, DamagedObject."""
    name = attempt_name(attempt)
    try:
        wire = msgspec.json.decode(store.get(name), type=_Wire)
    except msgspec.MsgspecError as error:
        raise DamagedObject(f"{name} is not the claim of an attempt") from error
    return Claim(attempt, wire.slots, wire.lineage)


def newest_attempt(store: CheckpointStore) -> Attempt:
    """The highest number claimed so far, even if retention has deleted the claim; 0 if there is none."""
    claimed = [kind.attempt for kind in map(parse_name, store.list(ATTEMPTS)) if isinstance(kind, AttemptObject)]
    committed = _newest_committed(store)
    return max([0, *claimed, 0 if committed is None else committed.attempt])


def _newest_committed(store: CheckpointStore) -> Manifest | None:
    """The newest checkpoint whose manifest can be read: a damaged one must not keep from an older one, and the claim
    of its attempt is still there."""

    def read(epochs: Sequence[Epoch]) -> Manifest | None:
        for epoch in reversed(epochs):
            with suppress(DamagedObject):
                return read_manifest(store, epoch)
        return None

    return read_current(store, read)
