"""Determines the serdes of a stream: from the user's arguments, and from one operator to the next."""

from __future__ import annotations

from typing import Any

from rayflow.api.location import invalid
from rayflow.core.errors import InvalidJob
from rayflow.serde import auto, bytes_, json, serde_for
from rayflow.serde.base import Serde
from rayflow.serde.record_names import is_record_class


def serde_of(spec: Any, option: str) -> Serde[Any]:
    """The serde for the user's argument `option`. Raises InvalidJob if there is none."""
    try:
        return serde_for(spec)
    except InvalidJob as error:
        raise invalid(f"{option}: {error.what}", error.advice) from error


def serde_of_result(kind: Any) -> Serde[Any]:
    """The serde for an operator's results of type `kind` (None: unknown).

    Record classes are written as JSON by their own serde, bytes unchanged, all other types as JSON. So a type that
    becomes known later never changes the output.
    """
    if is_record_class(kind):
        return serde_of(kind, "the result's type")
    return bytes_ if kind is bytes else json


def same_serde(one: Serde[Any], other: Serde[Any]) -> bool:
    """Whether two serdes read and write the same bytes."""
    return one is other or (type(one) is type(other) and one.name == other.name and one.type is other.type)


def merged_serde(serdes: list[Serde[Any]]) -> Serde[Any]:
    """The serde of merged streams: their own if it is the same, otherwise one that depends on each object's type."""
    return serdes[0] if all(same_serde(serdes[0], serde) for serde in serdes[1:]) else auto
