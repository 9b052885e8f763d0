"""The default serde of an output: it depends on the type of each value."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import msgspec

from rayflow.serde.base import Serde
from rayflow.serde.columns import mapped
from rayflow.serde.finite import encode_all_finite, encode_finite

_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


class AutoSerde(Serde[Any]):
    """Writes str as UTF-8, bytes as they are, anything else as JSON. Reads JSON, else text, else bytes.

    NaN and infinity are errors, or null for `dead_letters`, which must hold whatever failed.

    >>> auto.encode(["a", b"b", None, {"c": 1}])
    [b'a', b'b', None, b'{"c":1}']
    """

    name = "auto"

    def __init__(self, *, nan: Literal["error", "null"] = "error") -> None:
        self._json = encode_finite if nan == "error" else _json
        self._all_json = encode_all_finite if nan == "error" else partial(mapped, _json)

    def decode_one(self, data: bytes) -> Any:
        try:
            return _from_json(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data

    def encode_one(self, value: Any) -> bytes:
        """Raises TypeError for a type that JSON cannot represent, EncodeFailed for NaN and infinity."""
        kind = type(value)
        if kind is bytes:
            return bytes(value)
        return str.encode(value) if kind is str else self._json(value)

    def encode(self, column: list[Any]) -> list[bytes | None]:
        kinds = set(map(type, column))
        if kinds == {str}:
            return list(map(str.encode, column))
        if kinds <= {bytes, type(None)}:
            return column
        if kinds.isdisjoint({str, bytes, type(None)}):
            return self._all_json(column)
        return super().encode(column)


auto = AutoSerde()
dead_letters = AutoSerde(nan="null")
