"""Finds the annotations whose values msgspec's typed MessagePack codec preserves exactly.

msgspec writes a Decimal, a tuple or a set as text or array, and only the annotation says how to read it back. So a
field is suitable for the typed codec only if its whole annotation says so.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from rayflow.serde.record_names import is_record_class

_NUMBERS_AND_TEXT = (bool, int, float, str)
_SCALARS = {*_NUMBERS_AND_TEXT, bytes, type(None), Decimal, UUID, date, timedelta}
_CONTAINERS = {list, set, frozenset, tuple, dict}
_DATETIMES = (datetime, datetime | None)
_ABSENT = (type(None), msgspec.UnsetType)


def hints_of(cls: type[Any]) -> dict[str, Any]:
    """The annotations of a record class; Any for all if they cannot be resolved (names that exist only for type
    checkers)."""
    names = field_names(cls)
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        hints = {}
    return {name: hints.get(name, Any) for name in names}


def field_names(cls: type[Any]) -> tuple[str, ...]:
    """The names of a record class's fields, in order."""
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_fields__
    return tuple(field.name for field in dataclasses.fields(cls))


def is_exact(annotation: Any) -> bool:
    """Whether the values of a field with this annotation survive msgspec's typed MessagePack codec unchanged.

    >>> is_exact(dict[str, list[int] | None]), is_exact(tuple[int, ...]), is_exact(list), is_exact(Any)
    (True, True, False, False)
    """
    return _is_exact(annotation, set()) and _decodes(annotation)


def datetimes_of(cls: type[Any]) -> tuple[str, ...] | None:
    """The fields of a record class that are datetimes, if the typed codec preserves the class exactly as long as these
    are in UTC or without time zone (it converts others to UTC); None if it does not preserve the class.

    >>> from datetime import datetime
    >>> Visit = msgspec.defstruct("Visit", [("user", str), ("at", datetime | None)])
    >>> datetimes_of(Visit)
    ('at',)
    """
    names = tuple(name for name, hint in hints_of(cls).items() if hint in _DATETIMES)
    return names if _has_exact_fields(cls, set(), but=names) else None


def holds_enum(annotation: Any) -> bool:
    """Whether an annotation contains an enum, except inside of a record class, which has its own codec."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return True
    return any(map(holds_enum, get_args(annotation))) and get_origin(annotation) is not Literal


def _is_exact(annotation: Any, above: set[Any]) -> bool:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if annotation in _SCALARS:
            return True
        if issubclass(annotation, Enum):
            return not issubclass(annotation, Flag)
        return is_record_class(annotation) and _is_exact_record(annotation, above)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return True
    if origin is Annotated:
        return _is_exact(arguments[0], above)
    if origin in (Union, types.UnionType):
        return _is_exact_union([member for member in arguments if member not in _ABSENT], above)
    if origin in _CONTAINERS:
        return bool(arguments) and _are_exact((item for item in arguments if item is not Ellipsis), above)
    return False


def _decodes(annotation: Any) -> bool:
    """Whether msgspec can create a decoder for it: it refuses unions whose members look the same in MessagePack."""
    try:
        msgspec.msgpack.Decoder(annotation)
    except (TypeError, ValueError, NameError, AttributeError):
        return False
    return True


def _is_exact_union(members: list[Any], above: set[Any]) -> bool:
    plain = all(member in _NUMBERS_AND_TEXT for member in members)
    if len(members) > 1 and not plain and not all(map(_is_struct, members)):
        return False
    return _are_exact(members, above)


def _is_struct(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, msgspec.Struct)


def _are_exact(annotations: Iterable[Any], above: set[Any]) -> bool:
    return all(_is_exact(annotation, above) for annotation in annotations)


def _is_exact_record(cls: type[Any], above: set[Any]) -> bool:
    if cls.__subclasses__():
        return False  # the field's value may be of a subclass, whose own fields its annotation does not know
    return cls in above or _has_exact_fields(cls, above)  # a class that contains itself: decided further up


def _has_exact_fields(cls: type[Any], above: set[Any], but: tuple[str, ...] = ()) -> bool:
    if issubclass(cls, msgspec.Struct):
        if cls.__struct_config__.array_like:
            return False
    elif hasattr(cls, "__post_init__") or any(
        not field.init or field.name.startswith("_") for field in dataclasses.fields(cls)
    ):
        return False
    hints = hints_of(cls)
    return all(name in but or _is_exact(hint, {*above, cls}) for name, hint in hints.items()) and _decodes(cls)
