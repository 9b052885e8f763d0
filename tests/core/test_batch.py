"""Batches keep their columns together, whatever is made of them."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rayflow
from rayflow.core.batch import Batch, Change, Origin

COLUMNS = [field.name for field in fields(Batch) if field.name != "origin"]


def full(count: int = 3) -> Batch:
    """A batch in which no column is left out."""
    batch = Batch.carried(
        Origin("in", 1),
        keys=[f"k{i}" for i in range(count)],
        values=[f"v{i}" for i in range(count)],
        timestamps=list(range(10, 10 + count)),
        offsets=range(20, 20 + count),
        headers=[[("n", b"%d" % i)] for i in range(count)],
        lateness=list(range(30, 30 + count)),
        changes=[Change(i % 3) for i in range(count)],
        old=[f"o{i}" for i in range(count)],
    )
    assert all(getattr(batch, name) is not None for name in COLUMNS)
    return batch


@pytest.mark.parametrize(
    ("made", "changed"),
    [
        (full().with_values([1, 2, 3]), {"values": [1, 2, 3]}),
        (full().with_results([1, 2, 3]), {"values": [1, 2, 3], "headers": None}),
        (full().with_keys([1, 2, 3]), {"keys": [1, 2, 3]}),
        (full().with_timestamps([1, 2, 3]), {"timestamps": [1, 2, 3]}),
        (full().with_headers(None), {"headers": None}),
        (full().with_lateness(None), {"lateness": None}),
        (full().with_changes([Change.INSERT] * 3, [None] * 3), {"changes": [Change.INSERT] * 3, "old": [None] * 3}),
    ],
    ids=["values", "results", "keys", "timestamps", "headers", "lateness", "changes"],
)
def test_a_derived_batch_has_every_other_column_of_its_own(made: Batch, changed: dict[str, Any]) -> None:
    before = full()
    assert made.origin == before.origin
    for name in COLUMNS:
        assert getattr(made, name) == changed.get(name, getattr(before, name)), name


@given(st.data(), st.integers(0, 5), st.sets(st.sampled_from(["headers", "lateness", "changes", "old"])))
def test_chosen_records_keep_what_belongs_to_them(data: st.DataObject, count: int, absent: set[str]) -> None:
    batch = full(count)
    for name in absent:
        setattr(batch, name, None)
    mask = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    indexes = data.draw(st.lists(st.integers(0, count - 1), max_size=7)) if count else []
    for chosen, kept in (
        (batch.select(mask), [i for i in range(count) if mask[i]]),
        (batch.take(indexes), indexes),
    ):
        assert chosen.origin == batch.origin
        for name in COLUMNS:
            column, before = getattr(chosen, name), getattr(batch, name)
            if kept:
                assert (None if column is None else list(column)) == (before and [before[i] for i in kept]), name
            else:
                assert not column, name


def test_what_an_operator_makes_has_no_offsets_and_nothing_that_it_was_not_given() -> None:
    several, single = Batch.made(Origin("op", 0), ["a", "b"], [1, 2], [5, 6]), Batch.one(Origin("op", 0), "a", 1, 5)
    assert (several.offsets, single.offsets) == ([-1, -1], [-1])
    assert several.take([0]) == single
    for name in ("headers", "lateness", "changes", "old"):
        assert getattr(several, name) is None
    assert len(Batch.empty(Origin("op", 0))) == 0


def test_nobody_but_the_batch_itself_puts_a_batch_together() -> None:
    """A batch built by hand forgets a column that is added later, or one that its author did not think of."""
    found = []
    root = Path(rayflow.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).as_posix() == "core/batch.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Batch":
                found.append(f"{path.relative_to(root)}:{node.lineno}")
            if isinstance(node, ast.Assign | ast.AugAssign) and _sets_a_column(node):
                found.append(f"{path.relative_to(root)}:{node.lineno}")
    assert found == []


def _sets_a_column(node: ast.Assign | ast.AugAssign) -> bool:
    """Whether a column of something called a batch is put in place of another."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(
        isinstance(target, ast.Attribute)
        and target.attr in COLUMNS
        and isinstance(target.value, ast.Name)
        and target.value.id in ("batch", "decoded", "changed", "updates", "dead", "raw", "kept")
        for target in targets
    )
