"""JSON without NaN and infinity, which it has no form for: msgspec writes null, so that a number becomes nothing."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

import msgspec

from rayflow.core.errors import EncodeFailed

_json = msgspec.json.Encoder()
_packed = msgspec.msgpack.Encoder().encode
_exponent_of_ones = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]").search
"""Finds where a float may be that is not finite, in MessagePack: type, sign and exponent."""


def encode_finite(value: Any) -> bytes:
    """A value as JSON. Raises EncodeFailed for NaN and infinity, TypeError for a type that JSON cannot represent."""
    data = _json.encode(value)
    if b"null" in data and not _finite(msgspec.to_builtins(value)):
        raise EncodeFailed(
            "The value contains NaN or infinity, which JSON cannot represent",
            advice='Replace such numbers, or let null stand for them: value=rf.json(nan="null")',
        )
    return data


def encode_all_finite(column: list[Any]) -> list[bytes | None]:
    """A column as JSON; None stays. Raises the error of `encode_finite`.

    It is encoded in one call, and looked at as a whole: NaN is written as null, so most columns are clear at once.
    """
    if None in column:
        present = iter(encode_all_finite([value for value in column if value is not None]))
        return [None if value is None else next(present) for value in column]
    whole = _json.encode_lines(column)
    if b"null" in whole and not _surely_finite(column):
        return list(map(encode_finite, column))
    encoded: list[bytes | None] = [*whole.split(b"\n")]
    encoded.pop()  # behind the last newline
    return encoded if len(encoded) == len(column) else list(map(encode_finite, column))  # a msgspec.Raw had a newline


def _surely_finite(column: list[Any]) -> bool:
    try:
        return _exponent_of_ones(_packed(column)) is None
    except (TypeError, ValueError, OverflowError):  # JSON has integers beyond 64 bits, MessagePack has not
        return False


def _finite(value: Any) -> bool:
    """Whether all floats of plain data are finite; keys of dicts are text in JSON."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_finite, value))
    return True
