"""The codec for values between stages and in state: it preserves the exact type of Python objects.

It uses MessagePack, with extension types (`extensions.py`) for types that MessagePack lacks, and msgspec's typed codec
for records (`record_codec.py`). It never uses pickle: bytes cannot name code to run, and a record's class is found only
if it has been imported already.

If a single value is of an extension type itself, its bytes begin with C1, which MessagePack never uses, followed by the
code and the content. A column begins with the letter of its layout.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from typing import Any

import msgpack
import msgspec

from rayflow.core.errors import DamagedObject, ValueNotCarried
from rayflow.serde import extensions
from rayflow.serde.record_codec import RecordCodec
from rayflow.serde.record_names import class_of, find, is_record_class, name_of

_None = type(None)
_SCALARS = frozenset({str, bytes, int, float, bool, _None})
_PLAIN = _SCALARS | {list, dict}
_SEQUENCES: dict[int, type[Any]] = {
    extensions.TUPLE: tuple,
    extensions.SET: set,
    extensions.FROZENSET: frozenset,
}
_SEQUENCE_CODES = {kind: code for code, kind in _SEQUENCES.items()}

_EXTENSION = b"\xc1"
_TOP_TUPLE = bytes([0xC1, extensions.TUPLE])
_TOP_RECORD = bytes([0xC1, extensions.RECORD])
_FIRST_BYTE = itemgetter(slice(1))
_DEEPEST = 100
"""The maximum nesting depth of tuples, sets and records."""

_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError, struct.error)


class Codec:
    """Encodes and decodes the values that a job's functions emit or store. Used from one thread.

    Types that keep their exact type: None, bool, int (any size), float, str, bytes, list, dict (any keys, in order),
    tuple, set, frozenset, datetime, date, time, timedelta, Decimal, UUID, and records: msgspec.Struct classes and
    dataclasses that are defined at the top level of a module, or registered (`register_record`). An aware datetime
    keeps its offset from UTC, not the name of its zone. All other types, including subclasses of these, are refused.

    >>> codec = Codec()
    >>> codec.decode(codec.encode({("u1", 5): [1.5, None]}))
    {('u1', 5): [1.5, None]}
    >>> codec.decode_column(codec.encode_column([b"a", "a", None]))
    [b'a', 'a', None]
    """

    def __init__(self) -> None:
        self._pack_outermost = self._new_packer()
        self._packers = [self._pack_outermost]
        self._depth = 1
        self._unpack = msgspec.msgpack.Decoder(ext_hook=self._decode_extension).decode
        self._records: dict[type[Any], tuple[bytes, RecordCodec] | None] = {}
        self._records_by_name: dict[bytes, RecordCodec] = {}

    def encode(self, value: Any) -> bytes:
        """Encode one value. Raises ValueNotCarried."""
        kind = type(value)
        try:
            if kind in _PLAIN:
                data = self._pack_outermost(value)
                if (0xC4 in data or 0xC5 in data or 0xC6 in data) and (kind is list or kind is dict):
                    _refuse_buffers([value])
                return data
            if kind is tuple:
                data = self._pack_outermost(list(value))
                if 0xC4 in data or 0xC5 in data or 0xC6 in data:
                    _refuse_buffers(value)
                return _TOP_TUPLE + data
            record = self._record(kind)
            if record is not None:
                return _TOP_RECORD + record[0] + record[1].encode_one(value)
            code, body = self._extension(value)
            return b"\xc1%c%b" % (code, body)
        except (ValueError, OverflowError, RecursionError) as error:
            raise _not_carried(kind, error) from None

    def encode_all(self, values: Collection[Any]) -> list[bytes]:
        """Encode each value. Several times faster than `encode` if all are scalars, or lists of scalars, like the rows
        of aggregates. Raises ValueNotCarried."""
        kinds = set(map(type, values))
        if kinds <= _SCALARS or (kinds == {list} and set(map(type, chain.from_iterable(values))) <= _SCALARS):
            with suppress(ValueError, OverflowError):  # `encode` raises the error
                return list(map(self._pack_outermost, values))
        return list(map(self.encode, values))

    def decode(self, data: bytes) -> Any:
        """The inverse of `encode`. Raises DamagedObject; ValueNotCarried for a record whose class is unknown."""
        try:
            if data[0] != 0xC1:
                return self._unpack(data)
            if data[1] == extensions.RECORD:
                return self._decode_record(data[2:])
            return self._decode_extension(data[1], memoryview(data)[2:])
        except ValueNotCarried:
            raise
        except _UNREADABLE:
            raise DamagedObject("a stored or received value cannot be read: its bytes are damaged") from None

    def decode_all(self, data: Collection[bytes]) -> list[Any]:
        """Decode each value. Several times faster than `decode` if none is of an extension type itself. Raises the
        errors of `decode`."""
        if _EXTENSION not in set(map(_FIRST_BYTE, data)):
            with suppress(ValueNotCarried, *_UNREADABLE):  # `decode` raises the error
                return list(map(self._unpack, data))
        return list(map(self.decode, data))

    def encode_column(self, column: list[Any]) -> bytes:
        """Encode many values. Cheapest if all are of one class, or None. Raises ValueNotCarried."""
        kinds = set(map(type, column))
        try:
            if kinds == {tuple}:
                data = self._pack_outermost(list(map(list, column)))
                layout = b"t"
            else:
                record = self._record_of_all(kinds)
                if record is not None:
                    name, codec = record
                    return b"r%b%b" % (name, codec.encode_column(column))
                data = self._pack_outermost(column)
                layout = b"l"
            if not kinds <= _SCALARS and (0xC4 in data or 0xC5 in data or 0xC6 in data):
                _refuse_buffers(chain.from_iterable(column) if layout == b"t" else column)
            return layout + data
        except (ValueError, OverflowError, RecursionError) as error:
            raise _not_carried(list, error) from None

    def decode_column(self, data: bytes) -> list[Any]:
        """The inverse of `encode_column`. Raises the errors of `decode`."""
        try:
            layout, body = data[:1], data[1:]
            if layout == b"r":
                name, _, content = body.partition(b"\x00")
                return self._named(name).decode_column(content)
            column = self._unpack(body)
            if type(column) is not list or layout not in (b"l", b"t"):
                raise DamagedObject("a stored or received column is damaged")
            return list(map(tuple, column)) if layout == b"t" else column
        except ValueNotCarried:
            raise
        except _UNREADABLE:
            raise DamagedObject("a stored or received column cannot be read: its bytes are damaged") from None

    def _new_packer(self) -> Callable[[Any], bytes]:
        pack: Callable[[Any], bytes] = msgpack.Packer(strict_types=True, default=self._as_extension).pack
        return pack

    def _pack(self, value: Any) -> bytes:
        """Encode a value inside of another one. A packer cannot be used while it packs, so there is one per depth."""
        depth = self._depth
        if depth == _DEEPEST:
            raise RecursionError
        if depth == len(self._packers):
            self._packers.append(self._new_packer())
        self._depth = depth + 1
        try:
            data = self._packers[depth](value)
        finally:
            self._depth = depth
        if 0xC4 in data or 0xC5 in data or 0xC6 in data:
            _refuse_buffers([value])
        return data

    def _as_extension(self, value: Any) -> msgpack.ExtType:
        return msgpack.ExtType(*self._extension(value))

    def _extension(self, value: Any) -> tuple[int, bytes]:
        """The code and the content of a value with an extension type."""
        kind = type(value)
        known = extensions.PACKERS.get(kind)
        if known is not None:
            code, to_bytes = known
            return code, to_bytes(value)
        code = _SEQUENCE_CODES.get(kind, 0)
        if code:
            return code, self._pack(list(value))
        record = self._record(kind)
        if record is None:
            raise ValueNotCarried(f"a value of type {kind.__module__}.{kind.__qualname__} cannot be carried")
        name, codec = record
        return extensions.RECORD, name + codec.encode_one(value)

    def _decode_extension(self, code: int, data: memoryview) -> Any:
        """The value for an extension type's code and content."""
        from_bytes = extensions.UNPACKERS.get(code)
        if from_bytes is not None:
            return from_bytes(bytes(data))
        if code == extensions.RECORD:
            return self._decode_record(bytes(data))
        return _SEQUENCES[code](self._unpack(data))

    def _record(self, kind: type[Any]) -> tuple[bytes, RecordCodec] | None:
        """The name of a record class, with a final 00, and its codec; None for another class."""
        try:
            return self._records[kind]
        except KeyError:
            record = None
            if is_record_class(kind):
                name = name_of(kind).encode()
                codec = self._records_by_name[name] = RecordCodec(kind, self._pack, self._unpack)
                record = name + b"\x00", codec
            self._records[kind] = record
            return record

    def _record_of_all(self, kinds: set[type[Any]]) -> tuple[bytes, RecordCodec] | None:
        """The codec of a column's class, if all its values except None are records of one class."""
        if len(kinds) == 1 or (len(kinds) == 2 and _None in kinds):
            return self._record(next(kind for kind in kinds if kind is not _None or len(kinds) == 1))
        return None

    def _decode_record(self, data: bytes) -> Any:
        name, _, body = data.partition(b"\x00")
        return self._named(name).decode_one(body)

    def _named(self, name: bytes) -> RecordCodec:
        """The codec for the class that has that name now: a job file may have been imported again."""
        text = name.decode()
        codec = self._records_by_name.get(name)
        if codec is None or codec.cls is not find(text):
            codec = self._records_by_name[name] = RecordCodec(class_of(text), self._pack, self._unpack)
        return codec


def _refuse_buffers(values: Iterable[Any]) -> None:
    """Refuse bytearray and memoryview, which msgpack would write as bytes. It checks level by level, at the speed of
    `map`, and only if the packed bytes contain one of the marks of bytes (C4, C5, C6). The contents of tuples, sets and
    records were checked when they were packed."""
    level = list(values)
    while level:
        kinds = set(map(type, level))
        for refused in kinds & {bytearray, memoryview}:
            raise ValueNotCarried(f"a value of type {refused.__qualname__} cannot be carried", advice="Use bytes")
        if kinds <= _SCALARS:
            return
        inner: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                inner.extend(value.values())
            elif kind is list:
                inner.extend(value)
        level = inner


def _not_carried(kind: type[Any], error: Exception) -> ValueNotCarried:
    if isinstance(error, UnicodeEncodeError):
        return ValueNotCarried(
            f"a value of type {kind.__qualname__} holds text that is not valid Unicode (half of a surrogate pair)",
            advice="Replace such characters: text.encode(errors='replace').decode()",
        )
    if isinstance(error, OverflowError):
        return ValueNotCarried(f"a value of type {kind.__qualname__} holds a number beyond 64 bits next to an enum")
    return ValueNotCarried(f"a value of type {kind.__qualname__} is nested too deeply, or holds itself")
