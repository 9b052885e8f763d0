"""What is stored, in every format, with a fixed content: made by today's code, and read by today's code.

`tests/golden/files` holds what the code of each format wrote. A file is never written anew: whoever changes how a thing
is stored raises its format's number, keeps what reads the older one, and adds a file (`python -m tests.golden`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rayflow.checkpoint import bases, manifest, savepoint_claim, segment
from rayflow.checkpoint.attempts import claim_attempt, read_claim
from rayflow.checkpoint.bases import decode_base_part, encode_base_part
from rayflow.checkpoint.claim import Claim
from rayflow.checkpoint.layout import attempt_name
from rayflow.checkpoint.manifest import decode_manifest, encode_manifest
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.sealed import TaskSealed
from rayflow.checkpoint.segment import SegmentReader, encode_segment
from rayflow.connectors.embedded import layout
from rayflow.core.batch import EncodedBatch
from rayflow.core.ids import TaskId
from rayflow.runtimes.ray import deployment
from rayflow.runtimes.ray.deployment import NAME, Deployment, read_deployment, write_deployment
from rayflow.state.base import Delta
from tests.checkpoint.model import example_manifest
from tests.golden import log, names, rows

FILES = Path(__file__).parent / "files"

MANIFEST = replace(
    example_manifest(),
    systems={"orders": "kafka:4L6g3nShT#Yj2k"},
    savepoint=True,
    restored_from="s3://bucket/savepoints/1",
)
LEAST = replace(
    example_manifest(),
    states={},
    stages={"größe/a": 1},
    workers=(),
    delivery="at_least_once",
    segments={},
    bases={},
    published=3,
    outputs=(),
    sinks={},
)
PARTS = [
    TaskSealed(
        TaskId("by user", 0),
        Delta([b"a", b"b", b"\x00\xff"], [b"1", None, b""]),
        {
            "sink-1": [
                EncodedBatch("out", [b"k", None], [b"v", None], [7, -1], [[("h", b"x"), ("n", None)], []], 2),
                EncodedBatch("out", [b"k"], [b"w"], [8]),
            ],
            "sink-2": [],
        },
        {"positions": {"orders": 7}, "watermark": -(1 << 63), "more": [1.5, "ü", None, True, b"\x00"]},
    ),
    TaskSealed(TaskId("größe", 11), Delta([], []), {}, {}),
]
ROWS = ([b"\x00", b"a", b"b" * 300], [b"", b"1", b"\xff" * 300])
SAVEPOINT_CLAIM = ("größe", "ab" * 16, "s3/bucket/größe")
CLAIM = Claim(3, (0, 1, 4), "cd" * 16)
DEPLOYMENT = Deployment("s-1", 4, "stopping", "a cause", "drain", ["file:/savepoints/1"], [], "i-2")


@dataclass(frozen=True, slots=True)
class Golden:
    """One thing that is stored.

    Attributes:
        name, suffix: of its files, with the format's number in between. format: the number that is written today.
        write: today's bytes. read: what bytes hold, by today's code. holds: what every file of it holds.
        exact: whether the bytes are always the same; else only what they hold is.
    """

    name: str
    suffix: str
    format: int
    write: Callable[[], bytes]
    read: Callable[[bytes], Any]
    holds: Any
    exact: bool = True

    @property
    def path(self) -> Path:
        """The file of today's format."""
        return FILES / f"{self.name}-{self.format}{self.suffix}"

    @property
    def paths(self) -> list[Path]:
        """The files of all formats."""
        return sorted(FILES.glob(f"{self.name}-[0-9]*{self.suffix}"))


def _read_segment(data: bytes) -> list[TaskSealed]:
    reader = SegmentReader.of("golden", data)
    reader.verify()
    return [TaskSealed(task, reader.delta(task), reader.staged(task), reader.progress(task)) for task in reader.tasks]


def _write_claim() -> bytes:
    store = ObjectStore("memory:")
    claim_attempt(store, [4], CLAIM.lineage)
    claim_attempt(store, [1], "ee" * 16)
    claim_attempt(store, [0], "ff" * 16)
    wire = json.loads(store.get(attempt_name(3)))
    return json.dumps({**wire, "host": "host", "pid": 1}).encode()  # these two differ from run to run


def _read_claim(data: bytes) -> Claim:
    store = ObjectStore("memory:")
    store.put(attempt_name(3), [data])
    return read_claim(store, 3)


def _write_deployment() -> bytes:
    store = ObjectStore("memory:")
    write_deployment(store, DEPLOYMENT)
    return store.get(NAME)


def _read_deployment(data: bytes) -> Deployment | None:
    store = ObjectStore("memory:")
    store.put(NAME, [data])
    return read_deployment(store)


GOLDENS = [
    Golden(
        "manifest",
        ".json",
        manifest.FORMAT,
        lambda: encode_manifest(MANIFEST),
        lambda data: decode_manifest("golden", data),
        MANIFEST,
    ),
    Golden(
        "least-manifest",
        ".json",
        manifest.FORMAT,
        lambda: encode_manifest(LEAST),
        lambda data: decode_manifest("golden", data),
        LEAST,
    ),
    Golden("segment", ".bin", segment.FORMAT, lambda: b"".join(encode_segment(PARTS)), _read_segment, PARTS),
    Golden(
        "base",
        ".bin",
        bases.FORMAT,
        lambda: b"".join(encode_base_part(ROWS)),
        lambda data: decode_base_part("golden", data),
        ROWS,
    ),
    Golden("claim", ".json", 1, _write_claim, _read_claim, CLAIM),
    Golden(
        "savepoint-claim",
        ".json",
        savepoint_claim.FORMAT,
        lambda: savepoint_claim.encode_claim(*SAVEPOINT_CLAIM),
        lambda data: tuple(json.loads(data)[name] for name in ("job", "lineage", "source")),
        SAVEPOINT_CLAIM,
    ),
    Golden("deployment", ".json", deployment.FORMAT, _write_deployment, _read_deployment, DEPLOYMENT),
    Golden("names", ".json", 1, names.write, names.read, names.OBJECTS),
    Golden("log", ".json", layout.FORMAT, log.write, log.read, log.CONTENT),
    Golden("rows", ".json", 1, rows.write, rows.read, rows.CONTENT),
]
