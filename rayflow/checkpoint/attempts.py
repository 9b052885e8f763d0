"""Attempt numbers: each is claimed by creating an object, so no two processes ever run under the same one."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress

from rayflow.checkpoint.layout import ATTEMPTS, AttemptObject, attempt_name, parse_name
from rayflow.checkpoint.manifest import manifest_epochs, read_manifest
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject, ObjectExists
from rayflow.core.ids import Attempt


def claim_attempt(store: CheckpointStore) -> Attempt:
    """The next attempt's number, ours alone from now on.

    >>> from rayflow.checkpoint.open import open_store
    >>> store = open_store("memory:")
    >>> claim_attempt(store), claim_attempt(store)
    (1, 2)
    """
    claimant = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
    attempt = newest_attempt(store) + 1
    while True:
        try:
            store.create(attempt_name(attempt), claimant)
        except ObjectExists:
            attempt += 1
        else:
            return attempt


def newest_attempt(store: CheckpointStore) -> Attempt:
    """The highest number claimed so far, also where retention has removed the claim; 0 when there is none."""
    claimed = [kind.attempt for kind in map(parse_name, store.list(ATTEMPTS)) if isinstance(kind, AttemptObject)]
    return max([0, *claimed, _newest_committed(store)])


def _newest_committed(store: CheckpointStore) -> Attempt:
    """The attempt of the newest checkpoint whose manifest can be read: a damaged one must not keep from an older one,
    and the claim of its attempt is still there."""
    for epoch in reversed(manifest_epochs(store)):
        with suppress(DamagedObject):
            return read_manifest(store, epoch).attempt
    return 0
