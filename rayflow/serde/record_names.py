"""Names of record classes, by which the class of an encoded value is found."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from rayflow.core.errors import InvalidJob, ValueNotCarried

_REGISTERED = "@"
"""The first character of names for `register_record`; a module's name cannot begin with it."""

_classes: dict[str, type[Any]] = {}
_names: dict[type[Any], str] = {}

_NOTHING: Mapping[str, Any] = {}
_BUILT_IN = (int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset, Enum)


def is_record_class(kind: Any) -> bool:
    """Whether values of exactly this class are records: a msgspec.Struct or a dataclass that is not also a container.

    A subclass of a dataclass must be decorated, too; otherwise its own attributes would not be fields, and would be
    lost.

    >>> is_record_class(msgspec.defstruct("Point", ["x", "y"])), is_record_class(dict)
    (True, False)
    """
    if not isinstance(kind, type) or issubclass(kind, _BUILT_IN):
        return False
    return issubclass(kind, msgspec.Struct) or "__dataclass_fields__" in kind.__dict__


def register_record(cls: type[Any], name: str) -> None:
    """Register a class that was created at run time under a name that stays the same from one run to the next.

    A class at a module's top level needs no registration: "module:qualname" finds it. Registering another class under
    the same name replaces the earlier one for later decoding. Raises InvalidJob if `cls` is not a record class.

    >>> register_record(msgspec.defstruct("Total", [("total", float)]), "job/aggregate-1")
    """
    if not is_record_class(cls):
        raise InvalidJob(f"{cls!r} cannot be registered: it is neither a rf.Record (msgspec.Struct) nor a dataclass")
    known = _REGISTERED + name
    _classes[known] = cls
    _names[cls] = known


def name_of(cls: type[Any]) -> str:
    """The name that finds `cls` again, in this process or another. Raises ValueNotCarried if there is none."""
    name = _names.get(cls)
    if name is None:
        name = f"{cls.__module__}:{cls.__qualname__}"
    if not is_record_class(cls) or find(name) is not cls:
        raise ValueNotCarried(
            f"a value of class {cls.__module__}.{cls.__qualname__} cannot be carried: no import finds it by its name",
            advice="Define the class at the top level of a module, once",
        )
    return name


def class_of(name: str) -> type[Any]:
    """The record class with that name. It looks only at modules that are imported already, so decoding never imports or
    runs anything. Raises ValueNotCarried."""
    cls = find(name)
    if not is_record_class(cls):
        raise ValueNotCarried(
            f"a stored or received record has the class {name.lstrip(_REGISTERED)}, which is not known here",
            advice="Define or import that class in the job file under its old name",
        )
    found: type[Any] = cls
    return found


def find(name: str) -> Any:
    """The object with that name now, of any type; None if there is none."""
    cls = _classes.get(name)
    if cls is not None:
        return cls
    module, path = _parts(name)
    found: Any = sys.modules.get(module)
    for part in path:
        found = getattr(found, "__dict__", _NOTHING).get(part)
    return found


@lru_cache(maxsize=4096)
def _parts(name: str) -> tuple[str, tuple[str, ...]]:
    module, _, path = name.partition(":")
    return module, tuple(path.split("."))
