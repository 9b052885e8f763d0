from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rayflow.checkpoint.bases import BaseRef
from rayflow.checkpoint.manifest import (
    _checksum,
    decode_manifest,
    encode_manifest,
    manifest_epochs,
    newest_manifest,
    read_manifest,
    read_savepoint,
    write_manifest,
)
from rayflow.checkpoint.object_store import ObjectStore
from rayflow.core.errors import DamagedObject, FormatTooNew, ObjectExists, ObjectMissing
from rayflow.core.ids import TaskId
from tests.checkpoint.model import example_manifest


def test_a_manifest_comes_back_as_it_was() -> None:
    for manifest in (
        example_manifest(),
        replace(example_manifest(), bases={}, states={}, workers=(), savepoint=True, restored_from="file:/x"),
        replace(example_manifest(), stages={"a/b": 1, "größe": 2}, bases={TaskId("größe", 1): BaseRef(9, (), 0)}),
    ):
        assert decode_manifest("m", encode_manifest(manifest)) == manifest


def test_a_manifest_is_json_that_people_can_read() -> None:
    document = json.loads(encode_manifest(example_manifest()))
    assert document["checkpoint"]["job"] == "revenue"
    assert document["checkpoint"]["states"]["aggregate-1/seen"] == {
        "kind": "map",
        "ttl": 60_000,
        "stage": "by user",
        "shape": "",
    }
    assert document["checkpoint"]["bases"]["orders/0"]["epoch"] == 1
    assert list(document["checkpoint"]["segments"]) == ["2", "3"]


def test_every_flipped_byte_and_every_cut_of_a_manifest_is_found_by_name() -> None:
    data = encode_manifest(example_manifest())
    for i in range(len(data)):
        for flip in (0x01, 0x20, 0xFF):
            with pytest.raises(DamagedObject, match="manifests/3"):
                decode_manifest("manifests/3", data[:i] + bytes([data[i] ^ flip]) + data[i + 1 :])
        with pytest.raises(DamagedObject, match="manifests/3"):
            decode_manifest("manifests/3", data[:i])
    with pytest.raises(DamagedObject):
        decode_manifest("manifests/3", data + b" ")


def test_a_manifest_of_a_newer_format_is_refused_as_such() -> None:
    content = {"format": 2, "whatever": "it holds"}
    document = {"sha256": _checksum(content), "checkpoint": content}
    with pytest.raises(FormatTooNew, match="m has format 2"):
        decode_manifest("m", json.dumps(document).encode())


@pytest.mark.parametrize("content", [[], {}, {"format": 1}, {"format": "1"}, None, "x"])
def test_other_json_with_a_checksum_is_no_manifest(content: object) -> None:
    document = {"sha256": _checksum(content), "checkpoint": content}
    with pytest.raises(DamagedObject):
        decode_manifest("m", (json.dumps(document, indent=1) + "\n").encode())


def test_an_epoch_is_committed_once() -> None:
    store = ObjectStore("memory:")
    assert newest_manifest(store) is None
    first = example_manifest()
    write_manifest(store, first)
    with pytest.raises(ObjectExists):
        write_manifest(store, replace(first, attempt=9))
    write_manifest(store, replace(first, epoch=12))
    store.put("manifests/notes.txt", [b"not ours"])
    assert manifest_epochs(store) == [3, 12]
    assert read_manifest(store, 3) == first
    assert newest_manifest(store) == replace(first, epoch=12)
    with pytest.raises(ObjectMissing):
        read_manifest(store, 4)
    with pytest.raises(ObjectMissing):
        read_savepoint(store)


def test_the_tasks_and_objects_of_a_manifest_are_those_it_names() -> None:
    manifest = example_manifest()
    assert manifest.tasks() == [TaskId("orders", 0), TaskId("orders", 1), TaskId("by user", 0)]
    assert len(manifest.objects()) == 5
