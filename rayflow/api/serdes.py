"""Which serdes a stream has: what the user says, and what follows from one operator to the next."""

from __future__ import annotations

from typing import Any

from rayflow.api.location import invalid
from rayflow.core.errors import InvalidJob
from rayflow.serde import auto, bytes_, json, serde_for
from rayflow.serde.base import Serde
from rayflow.serde.record_names import is_record_class


def serde_of(spec: Any, option: str) -> Serde[Any]:
    """The serde for what a user gives as `option`. Raises InvalidJob when there is none."""
    try:
        return serde_for(spec)
    except InvalidJob as error:
        raise invalid(f"{option}: {error.what}", error.advice) from error


def serde_of_result(kind: Any) -> Serde[Any]:
    """The serde of values that an operator makes, when their type is `kind` (None: unknown).

    Record classes are written as JSON by their own serde, bytes as they are, all else as JSON; so a type that becomes
    known later never changes what is written.
    """
    if is_record_class(kind):
        return serde_of(kind, "the result's type")
    return bytes_ if kind is bytes else json


def same_serde(one: Serde[Any], other: Serde[Any]) -> bool:
    """Whether two serdes read and write alike."""
    return one is other or (type(one) is type(other) and one.name == other.name and one.type is other.type)


def merged_serde(serdes: list[Serde[Any]]) -> Serde[Any]:
    """The serde of merged streams: theirs when they agree, else one that goes by each object's type."""
    return serdes[0] if all(same_serde(serdes[0], serde) for serde in serdes[1:]) else auto
