"""Keys are sorted, and cut at bounds, as their canonical bytes are: whatever types they and the bounds have."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rayflow.serde.keys import encode_canonical
from rayflow.state.key_order import SortedKeys, in_order

SCALARS = st.one_of(st.integers(-3, 3), st.sampled_from(["", "a", "b", "é"]), st.sampled_from([b"", b"a", b"b"]))
KEYS = st.one_of(SCALARS, st.booleans(), st.sampled_from([0.5, 2.0]), st.tuples(SCALARS), st.tuples(SCALARS, SCALARS))
SOME = st.one_of(
    st.lists(st.integers(-20, 20), max_size=20),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), max_size=20),
    st.lists(KEYS, max_size=12),
)
BOUNDS = st.one_of(st.none(), KEYS)


def different(keys: list[Any]) -> list[Any]:
    """Each encoding once: 2 and 2.0 are one key, and so are 1 and True to a dict."""
    return list(dict.fromkeys(keys))


def expected(keys: list[Any], start: Any, stop: Any, closed: bool) -> list[Any]:
    def inside(key: Any) -> bool:
        data = encode_canonical(key)
        if start is not None and data < encode_canonical(start):
            return False
        if stop is None:
            return True
        return data <= encode_canonical(stop) if closed else data < encode_canonical(stop)

    return sorted(filter(inside, keys), key=encode_canonical)


def not_crossed(start: Any, stop: Any) -> bool:
    return start is None or stop is None or encode_canonical(start) <= encode_canonical(stop)


@given(SOME.map(different), BOUNDS, BOUNDS, st.booleans())
def test_a_few_keys_are_in_the_order_of_their_bytes(keys: list[Any], start: Any, stop: Any, closed: bool) -> None:
    if not_crossed(start, stop):
        assert in_order(keys, start, stop, closed) == expected(keys, start, stop, closed)


def test_a_bound_of_other_types_than_the_keys_is_compared_by_its_bytes() -> None:
    keys = [("b", 1), ("a", 2), ("a", 1)]
    assert in_order(keys, ("a", "x"), None) == expected(keys, ("a", "x"), None, closed=False)
    assert in_order(keys, None, ("a", b"x")) == expected(keys, None, ("a", b"x"), closed=False)
    assert in_order(keys, ("a",), ("b",)) == [("a", 1), ("a", 2)]


@given(st.lists(st.tuples(SOME.map(different), st.sets(st.integers(0, 20))), max_size=4), BOUNDS, BOUNDS, st.booleans())
def test_a_growing_dict_is_in_order_after_every_addition_and_removal(
    rounds: list[tuple[list[Any], set[int]]], start: Any, stop: Any, closed: bool
) -> None:
    rows: dict[Any, None] = {}
    ordered = SortedKeys(rows)
    for added, removed in rounds:
        rows.update(dict.fromkeys(added))
        assert ordered.between(None, None, False) == expected(list(rows), None, None, closed=False)
        for index in sorted(removed):
            if index < len(rows):
                key = list(rows)[index]
                del rows[key]
                ordered.remove(key)
        ordered.remove(("not", "there"))
        if not_crossed(start, stop):
            assert ordered.between(start, stop, closed) == expected(list(rows), start, stop, closed)
