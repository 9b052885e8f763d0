"""Splitting a batch by key."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.core.batch import Batch, Origin
from rayflow.core.errors import KeyNotUsable
from rayflow.core.hashing import Partitioner
from rayflow.engine.exchange import split
from rayflow.serde.keys import encode_canonical


@pytest.mark.parametrize("key", [["a list"], object(), "\ud800", float("nan")], ids=["list", "object", "half", "nan"])
@pytest.mark.parametrize(("offset", "told"), [(41, 41), (-1, None)])
def test_a_key_that_cannot_be_used_is_told_with_its_place(key: Any, offset: int, told: int | None) -> None:
    batch = Batch(Origin("orders", 3), ["a", key, "b"], [1, 2, 3], [0, 0, 0], [40, offset, 42])
    with pytest.raises(KeyNotUsable) as refused:
        list(split(batch, Partitioner(4, encode_canonical), "key-by-1"))
    error = refused.value
    assert (error.operator, error.topic, error.partition, error.offset) == ("key-by-1", "orders", 3, told)
