"""Checks complete objects of a checkpoint store."""

from __future__ import annotations

from rayflow.checkpoint.bases import check_base_part
from rayflow.checkpoint.layout import BasePartObject, SegmentObject, parse_name
from rayflow.checkpoint.segment import SegmentReader
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import DamagedObject


def check_object(name: str, data: bytes) -> None:
    """Check every byte of a segment or of a part of a base. Raises DamagedObject with its name, FormatTooNew."""
    match parse_name(name):
        case SegmentObject():
            SegmentReader.of(name, data).verify()
        case BasePartObject():
            check_base_part(name, data)
        case _:
            raise DamagedObject(f"{name} is not the name of a segment or of a part of a base")


def check_stored(store: CheckpointStore, name: str) -> int:
    """Check an object in its store, a segment piece by piece. Returns its size in bytes.

    Raises DamagedObject with its name, ObjectMissing, FormatTooNew, and the errors of the store.
    """
    if isinstance(parse_name(name), SegmentObject):
        segment = SegmentReader(store, name)
        segment.verify()
        return segment.size
    data = store.get(name)
    check_object(name, data)
    return len(data)
