"""Chooses the serde for `key=` or `value=` in a job file."""

from __future__ import annotations

import types
from typing import Any, Union, get_origin, is_typeddict

from rayflow.core.errors import InvalidJob
from rayflow.serde.base import Serde
from rayflow.serde.json import JsonSerde
from rayflow.serde.raw import bytes_, text
from rayflow.serde.record_names import is_record_class

_READ_AS_JSON = {int, float, bool, dict, list}
_GENERIC = {dict, list, Union, types.UnionType}


def serde_for(spec: Any) -> Serde[Any]:
    """The serde for a serde (itself), or for a type.

    `bytes` and `str` mean bytes and text; a Record, msgspec.Struct, dataclass or TypedDict, `int`, `float`, `bool`,
    `dict`, `list`, and `dict[...]`, `list[...]` and unions of these mean JSON of that type. Raises InvalidJob.

    >>> serde_for(str).name, serde_for(dict).name, serde_for(list[int]).name
    ('text', 'json dict', 'json list[int]')
    """
    if isinstance(spec, Serde):
        return spec
    if spec is bytes:
        return bytes_
    if spec is str:
        return text
    if _is_read_as_json(spec):
        try:
            return JsonSerde(spec)
        except TypeError as error:
            raise InvalidJob(f"no serde can be made for {_shown(spec)}: {error}") from error
    raise InvalidJob(
        f"{_shown(spec)} is neither a serde nor a type that has a default serde",
        advice="Give a serde (rf.json, rf.text, rf.msgpack...), bytes, str, a rf.Record or a dataclass",
    )


def _is_read_as_json(spec: Any) -> bool:
    origin = get_origin(spec)
    if origin is not None:
        return origin in _GENERIC or is_record_class(origin)
    return isinstance(spec, type) and (spec in _READ_AS_JSON or is_record_class(spec) or is_typeddict(spec))


def _shown(spec: Any) -> str:
    return spec.__qualname__ if isinstance(spec, type) else f"an object of type {type(spec).__qualname__}"
