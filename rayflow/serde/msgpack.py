"""MessagePack, typed or not, by msgspec."""

from __future__ import annotations

from typing import Any

import msgspec

from rayflow.serde.base import Serde
from rayflow.serde.columns import mapped, typed_name

_encode = msgspec.msgpack.Encoder().encode


class MsgpackSerde(Serde[Any]):
    """MessagePack as other systems read and write it (values between stages and in state use `Codec`).

    Reads into `type` (a Record, any msgspec.Struct, a dataclass, a TypedDict, `dict[str, int]`...) and checks the
    fields; without one into dicts, lists, str, bytes, int, float, bool, None and aware datetimes.

    >>> msgpack.decode_one(msgpack.encode_one({"a": [1, b"x"]}))
    {'a': [1, b'x']}
    """

    def __init__(self, type: Any = None) -> None:
        self.type = type
        self.name = typed_name("msgpack", type)
        self._decode = msgspec.msgpack.Decoder(Any if type is None else type).decode

    def decode_one(self, data: bytes) -> Any:
        """Raises msgspec.ValidationError if the type does not fit, msgspec.DecodeError for damaged bytes."""
        return self._decode(data)

    def encode_one(self, value: Any) -> bytes:
        """Raises TypeError for a type that MessagePack cannot represent, OverflowError beyond 64 bits."""
        return _encode(value)

    def decode(self, column: list[bytes | None]) -> list[Any]:
        return mapped(self._decode, column)

    def encode(self, column: list[Any]) -> list[bytes | None]:
        return mapped(_encode, column)


msgpack = MsgpackSerde()
