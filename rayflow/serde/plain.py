"""Values as plain data, which can be read without the classes that a job file defines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from rayflow.core.errors import ValueNotCarried
from rayflow.serde.extensions import PACKERS

_ATOMS = frozenset({str, bytes, float, bool, type(None), *PACKERS})


def plain(value: Any) -> Any:
    """The value with dicts in place of records and dataclasses, within containers too. Other types stay.

    A tagged record has its tag as a field; a field that is UNSET is left out. Dicts cannot be hashed, so a set of
    records is a list, and a dict whose keys are records is a list of [key, value]. An enum is its value. Raises
    ValueNotCarried.

    >>> plain([msgspec.defstruct("Point", ["x", "at"])(1, (2, b"3"))])
    [{'x': 1, 'at': (2, b'3')}]
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list or kind is tuple:
        return kind(map(plain, value))
    if kind is dict:
        pairs = [[plain(key), plain(content)] for key, content in value.items()]
        try:
            return dict(pairs)
        except TypeError:
            return pairs
    if kind is set or kind is frozenset:
        items = list(map(plain, value))
        try:
            return kind(items)
        except TypeError:
            return items
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = {} if config.tag is None or config.tag_field is None else {config.tag_field: config.tag}
        return tag | _contents(value, value.__struct_fields__)
    if is_dataclass(value):
        return _contents(value, [field.name for field in fields(value)])
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError):
        raise ValueNotCarried(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be given as plain data"
        ) from None


def _contents(value: Any, names: Sequence[str]) -> dict[str, Any]:
    found = ((name, getattr(value, name)) for name in names)
    return {name: plain(content) for name, content in found if content is not msgspec.UNSET}
