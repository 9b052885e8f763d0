"""A process that holds a task's local state, told by lines of JSON what to do, until it is killed.

    python -m tests.simulation.conformance.machine_process FOLDER BOOT_ID_FILE

It says what it found when it opened the store: the stamp and the rows, or the class of the error. Then it answers each
line when that is done: ["apply", {key: value or null}, lineage, epoch], ["replace", {key: value}, lineage, epoch, stop]
(with `stop` it hangs after so many rows), ["close"].
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rayflow.core.errors import RayflowError
from rayflow.state import state_directory
from rayflow.state.base import Delta, Rows, Stamp, Store
from rayflow.state.lmdb_store import LmdbStore


def delta_of(rows: dict[str, str | None]) -> Delta:
    """Rows as a delta."""
    values = [rows[key] for key in sorted(rows)]
    return Delta([key.encode() for key in sorted(rows)], [None if v is None else v.encode() for v in values])


def held(store: Store) -> Any:
    """The stamp and the rows; an unstamped store's rows mean nothing."""
    if store.stamp is None:
        return [None, {}]
    return [list(store.stamp), {key.decode(): value.decode() for key, value in store.scan(b"", None)}]


def runs(rows: dict[str, str], stop: int | None) -> Iterator[Rows]:
    """Row by row; hangs where told, and says so."""
    for number, key in enumerate(sorted(rows)):
        if number == stop:
            say("hangs")
            time.sleep(600)
        yield [key.encode()], [rows[key].encode()]


def say(what: Any) -> None:
    """One line."""
    print(json.dumps(what), flush=True)


def main(folder: str, boot_id: str) -> None:
    """Open, then do as told."""
    state_directory.BOOT_ID = Path(boot_id)
    try:
        store = LmdbStore(folder)
    except RayflowError as error:
        say(type(error).__name__)
        return
    say(held(store))
    for line in sys.stdin:
        match json.loads(line):
            case ["apply", rows, lineage, epoch]:
                store.apply(delta_of(rows), Stamp(lineage, epoch))
            case ["replace", rows, lineage, epoch, stop]:
                store.replace(runs(rows, stop), Stamp(lineage, epoch))
            case ["close"]:
                store.close()
        say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
