"""The rows of a task's state: each kind of table, keys and values of many types, in hex."""

from __future__ import annotations

import json
from typing import Any

from rayflow.serde.codec import Codec
from rayflow.state.base import Stamp
from rayflow.state.memory_store import MemoryStore
from rayflow.state.task_state import TaskState

VALUES: dict[Any, Any] = {
    "ann": 3,
    "größe": [1, 2.5, None, {"a": b"x"}],
    "": {"nested": {"deep": [True, False]}},
    7: (1, "a"),
    -(1 << 40): 1 << 62,
    b"\x00\xff": "bytes",
    ("a", 1): "tuple",
    "k" * 600: "longer than LMDB's keys",
}
WINDOWS: dict[int, dict[str, Any]] = {60_000: {"ann": [1, 2.0], "bob": [2, 3.5]}, -5: {"ann": [1, 1]}}
LISTS: dict[str, dict[int, Any]] = {"ann": {0: "a", 1: "b", 300: "c"}}
TIMERS = [(-1, "ann", ""), (1_000, "ann", ""), (1_000, "bob", "tag"), (1 << 41, 7, "")]
CONTENT = (VALUES, WINDOWS, LISTS, TIMERS)


def _state(store: MemoryStore) -> TaskState:
    return TaskState(store, Codec())


def write() -> bytes:
    """The rows, as today's code makes them."""
    store = MemoryStore()
    state = _state(store)
    for key, value in VALUES.items():
        state.values("totals", "values").put(key, value)
    for end, rows in WINDOWS.items():
        for key, value in rows.items():
            state.nested("windows", "windows").put(end, key, value)
    for key, items in LISTS.items():
        for index, item in items.items():
            state.nested("process", "items").put(key, index, item)
    for time, key, tag in TIMERS:
        state.timers("process", "timers").add(time, key, tag)
    state.seal()
    state.complete(Stamp("lineage", 1))
    found = {key.hex(): value.hex() for key, value in store.scan(b"", None)}
    return (json.dumps(found, indent=1) + "\n").encode()


def read(data: bytes) -> tuple[Any, ...]:
    """What a state over these rows holds, by scans; each row is looked up as well."""
    store = MemoryStore()
    found = sorted((bytes.fromhex(key), bytes.fromhex(value)) for key, value in json.loads(data).items())
    store.replace([([key for key, _ in found], [value for _, value in found])], Stamp("lineage", 1))
    state = _state(store)
    values, windows, lists = (
        state.values("totals", "values"),
        state.nested("windows", "windows"),
        state.nested("process", "items"),
    )
    assert {key: values.get(key) for key in VALUES} == VALUES
    assert {end: {key: windows.get(end, key) for key in rows} for end, rows in WINDOWS.items()} == WINDOWS
    return (
        dict(values.scan()),
        {end: dict(windows.scan(end)) for end in windows.namespaces()},
        {key: dict(lists.scan(key)) for key in lists.namespaces()},
        state.timers("process", "timers").due(1 << 62),
    )
