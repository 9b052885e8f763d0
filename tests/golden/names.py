"""The names of the objects in a checkpoint store."""

from __future__ import annotations

import json

from rayflow.checkpoint.layout import (
    SAVEPOINT,
    AttemptObject,
    BasePartObject,
    ManifestObject,
    ObjectKind,
    PublishedObject,
    SegmentObject,
    attempt_name,
    base_part_name,
    manifest_name,
    output_name,
    parse_name,
    published_name,
    segment_name,
)
from rayflow.core.ids import TaskId

OBJECTS: list[ObjectKind | None] = [
    AttemptObject(3),
    SegmentObject(12, 3, 0),
    SegmentObject(12, 3, 1),
    ManifestObject(12),
    PublishedObject("ab12", 12),
    BasePartObject("gr=C3=B6=C3=9Fe=2Fa-11", 12, 3, 4),
    None,  # a savepoint's manifest is found by its name
]


def write() -> bytes:
    """Names, as today's code makes them."""
    made = [
        attempt_name(3),
        segment_name(12, 3, 0),
        output_name(12, 3, 1),
        manifest_name(12),
        published_name("ab12", 12),
        base_part_name(TaskId("größe/a", 11), 12, 3, 4),
        SAVEPOINT,
    ]
    return (json.dumps(made, indent=1) + "\n").encode()


def read(data: bytes) -> list[ObjectKind | None]:
    """What objects of these names are."""
    return [parse_name(name) for name in json.loads(data)]
