"""Splitting a batch by key."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.core.batch import Batch, Change, Origin
from rayflow.core.errors import KeyNotUsable
from rayflow.core.hashing import Partitioner
from rayflow.engine.exchange import split, through_codec
from rayflow.serde.codec import Codec
from rayflow.serde.keys import encode_canonical


@pytest.mark.parametrize("key", [["a list"], object(), "\ud800", float("nan")], ids=["list", "object", "half", "nan"])
@pytest.mark.parametrize(("offset", "told"), [(41, 41), (-1, None)])
def test_a_key_that_cannot_be_used_is_told_with_its_place(key: Any, offset: int, told: int | None) -> None:
    batch = Batch(Origin("orders", 3), ["a", key, "b"], [1, 2, 3], [0, 0, 0], [40, offset, 42])
    with pytest.raises(KeyNotUsable) as refused:
        list(split(batch, Partitioner(4, encode_canonical), "key-by-1"))
    error = refused.value
    assert (error.operator, error.topic, error.partition, error.offset) == ("key-by-1", "orders", 3, told)


def test_every_column_comes_through_the_codec() -> None:
    sent = Batch.carried(
        Origin("orders", 3),
        keys=["a", "b"],
        values=[1, None],
        timestamps=[5, 6],
        offsets=range(7, 9),
        headers=[[("h", b"1")], []],
        lateness=[8, 9],
        changes=[Change.UPDATE, Change.DELETE],
        old=[(1, 2), {3}],
    )
    assert through_codec(sent, Codec(), "e") == sent
    plain = Batch.made(Origin("op", 0), ["a"], [1], [5])
    came = through_codec(plain, Codec(), "e")
    assert came == plain
    assert (came.changes, came.old) == (None, None)


def test_records_take_their_changes_to_their_partition() -> None:
    keys = [f"k{i}" for i in range(20)]
    sent = Batch.made(Origin("op", 0), keys, keys, [0] * 20).with_changes([Change.UPDATE] * 20, [f"-{k}" for k in keys])
    parts = list(split(sent, Partitioner(3, encode_canonical), "e"))
    assert len(parts) == 3
    assert sorted(old for _, part in parts for old in part.old or ()) == sorted(sent.old or ())
    assert all(part.old == [f"-{key}" for key in part.keys] for _, part in parts)
