"""JSON, typed or not, by msgspec."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rayflow.core.errors import InvalidJob
from rayflow.serde.base import Serde
from rayflow.serde.columns import mapped, typed_name
from rayflow.serde.finite import encode_all_finite, encode_finite

_encode = msgspec.json.Encoder().encode


class JsonSerde(Serde[Any]):
    """JSON in UTF-8.

    Reads into `type` (a Record, any msgspec.Struct, a dataclass, a TypedDict, `dict[str, int]`...) and checks the
    fields; without one into dicts, lists, str, int, float, bool and None. Writes any of these, and datetime (RFC 3339),
    Decimal and UUID (text), bytes (base64), sets (arrays), enums (their values).

    Args:
        type: what to read into; None for plain Python.
        strict: False lets text stand for numbers, booleans and null, as in CSV.
        nan: what NaN and infinity are, which JSON cannot represent: "error", or "null" to write null for them.

    A serde may be called for one with other arguments: `rf.json(Order)`, `rf.json(nan="null")`.

    >>> json.encode_one({"a": 1}), json.decode_one(b'{"a":1}')
    (b'{"a":1}', {'a': 1})
    >>> JsonSerde(dict[str, int], strict=False).decode_one(b'{"a":"1"}')
    {'a': 1}
    >>> json(nan="null").encode_one({"ratio": float("nan")})
    b'{"ratio":null}'
    """

    def __init__(self, type: Any = None, *, strict: bool = True, nan: Literal["error", "null"] = "error") -> None:
        if nan not in ("error", "null"):
            raise InvalidJob(f"nan={nan!r} is unknown", advice='Use nan="error" or nan="null"')
        self.type = type
        self.strict = strict
        self.nan = nan
        self.name = typed_name("json", type) + ("" if strict else " (not strict)")
        if nan == "null":
            self.name += " (NaN as null)"
        self._decode = msgspec.json.Decoder(Any if type is None else type, strict=strict).decode

    def decode_one(self, data: bytes) -> Any:
        """Raises msgspec.ValidationError if the type does not fit, msgspec.DecodeError for invalid JSON."""
        return self._decode(data)

    def encode_one(self, value: Any) -> bytes:
        """Raises TypeError for a type that JSON cannot represent, EncodeFailed for NaN and infinity."""
        return encode_finite(value) if self.nan == "error" else _encode(value)

    def decode(self, column: list[bytes | None]) -> list[Any]:
        return mapped(self._decode, column)

    def encode(self, column: list[Any]) -> list[bytes | None]:
        return encode_all_finite(column) if self.nan == "error" else mapped(_encode, column)

    def __call__(self, type: Any = None, *, strict: bool = True, nan: Literal["error", "null"] = "error") -> JsonSerde:
        """A JSON serde with these arguments."""
        return JsonSerde(type, strict=strict, nan=nan)


json = JsonSerde()
