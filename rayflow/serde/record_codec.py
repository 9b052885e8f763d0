"""Encodes records of one class, one or a column at a time, with msgspec's typed MessagePack codec."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from datetime import timezone
from operator import attrgetter
from typing import Any

import msgspec

from rayflow.core.errors import DamagedObject, RayflowError, ValueNotCarried
from rayflow.serde.exact_types import datetimes_of, field_names, hints_of, holds_enum, is_exact

_encode = msgspec.msgpack.Encoder().encode
_Ext = msgspec.msgpack.Ext
_OPAQUE = 1
"""Code of the extension type for a field in the general codec's form; it occurs only directly in a record."""

_ZONES = {None, timezone.utc}
"""The time zones of datetimes that msgspec preserves."""

_NOT_TYPED = (OverflowError, TypeError, ValueError)
"""Errors that msgspec raises for a value that its MessagePack cannot express."""


class _Form:
    """One form in which the records of a class are written: unchanged, or as stand-ins.

    `opaque`: the positions of the fields that are opaque. `wire`: the names of the fields in the bytes.
    """

    __slots__ = ("cls", "decode_column", "decode_one", "opaque", "wire")

    def __init__(self, cls: type[Any], opaque: tuple[int, ...]) -> None:
        self.cls = cls
        self.opaque = opaque
        self.wire = cls.__struct_encode_fields__ if issubclass(cls, msgspec.Struct) else field_names(cls)
        self.decode_one = msgspec.msgpack.Decoder(cls).decode
        self.decode_column = msgspec.msgpack.Decoder(list[cls | None]).decode  # type: ignore[valid-type]


class RecordCodec:
    """Encodes the records of one class.

    If the annotations of the class let msgspec preserve all its fields exactly (datetimes: those in UTC and those
    without time zone), it writes the records themselves ("T"). Otherwise it writes stand-ins ("M"): structs with the
    same fields, in which the fields that msgspec would not preserve are opaque, written by the general codec (`pack`,
    `unpack`). A record with a value that MessagePack lacks (an int beyond 64 bits) is written with all its fields
    opaque ("O") except enums, which only their annotation can restore.

    Decoded fields have the types of their annotations: an int in a float field becomes a float. A struct's
    `__post_init__` runs again when it is decoded, a dataclass's does not. Fields are found by name, so fields with
    defaults may be added to a class, and fields removed, while state contains its records.
    """

    def __init__(self, cls: type[Any], pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any]) -> None:
        self.cls = cls
        self._pack = pack
        self._unpack = unpack
        self._hints = hints_of(cls)
        self._read = _reader(tuple(self._hints))
        self._build, self._build_by_name = _builders(cls)
        exact = {name for name, hint in self._hints.items() if is_exact(hint)}
        self._forms = {
            b"M": self._stand_in(exact),
            b"O": self._stand_in({name for name in exact if holds_enum(self._hints[name])}),
        }
        self._datetimes = datetimes_of(cls)
        if self._datetimes is not None:
            self._forms[b"T"] = _Form(cls, ())
        self._decode_untyped = msgspec.msgpack.Decoder(ext_hook=lambda code, data: _Ext(code, bytes(data))).decode

    def _stand_in(self, exact: set[str]) -> _Form:
        fields = [(name, hint if name in exact else _Ext) for name, hint in self._hints.items()]
        opaque = tuple(position for position, name in enumerate(self._hints) if name not in exact)
        return _Form(msgspec.defstruct("StandIn", fields, gc=False), opaque)

    def encode_one(self, record: Any) -> bytes:
        """Encode one record. Raises the errors of `pack`."""
        if self._is_typed((record,)):
            try:
                return b"T" + _encode(record)
            except _NOT_TYPED:
                return b"O" + _encode(self._stand(record, self._forms[b"O"]))
        stand_in = self._stand(record, self._forms[b"M"])
        try:
            return b"M" + _encode(stand_in)
        except _NOT_TYPED:
            return b"O" + _encode(self._stand(record, self._forms[b"O"]))

    def encode_column(self, records: list[Any]) -> bytes:
        """Encode a column of records and None. Raises the errors of `pack`."""
        if self._is_typed(records):
            try:
                return b"T" + _encode(records)
            except _NOT_TYPED:
                return b"O" + self._stand_for(records, self._forms[b"O"])
        try:
            return b"M" + self._stand_for(records, self._forms[b"M"])
        except _NOT_TYPED:
            return b"O" + self._stand_for(records, self._forms[b"O"])

    def decode_one(self, data: bytes) -> Any:
        """The inverse of `encode_one`. Raises ValueNotCarried, DamagedObject and msgspec's errors."""
        tag, body = data[:1], data[1:]
        form = self._forms.get(tag)
        if form is not None:
            try:
                decoded = form.decode_one(body)
                return decoded if tag == b"T" else self._stood_for(decoded, form)
            except msgspec.ValidationError:
                pass
        return self._rebuild(self._decode_untyped(body), self._wire_names(tag))

    def decode_column(self, data: bytes) -> list[Any]:
        """The inverse of `encode_column`. Raises the errors of `decode_one`."""
        tag, body = data[:1], data[1:]
        form = self._forms.get(tag)
        if form is not None:
            try:
                decoded: list[Any] = form.decode_column(body)
                if tag == b"T":
                    return decoded
                return [None if item is None else self._stood_for(item, form) for item in decoded]
            except msgspec.ValidationError:
                pass
        names = self._wire_names(tag)
        return [None if raw is None else self._rebuild(raw, names) for raw in self._decode_untyped(body)]

    def _is_typed(self, records: Iterable[Any]) -> bool:
        """Whether the typed codec preserves these records exactly."""
        if self._datetimes is None:
            return False
        for name in self._datetimes:
            zones = {getattr(getattr(record, name, None), "tzinfo", None) for record in records}
            if not zones <= _ZONES:
                return False
        return True

    def _stand(self, record: Any, form: _Form) -> Any:
        values = [*self._read(record)]
        for position in form.opaque:
            values[position] = _Ext(_OPAQUE, self._pack(values[position]))
        return form.cls(*values)

    def _stand_for(self, records: list[Any], form: _Form) -> bytes:
        return _encode([None if record is None else self._stand(record, form) for record in records])

    def _stood_for(self, stand_in: Any, form: _Form) -> Any:
        values = [*self._read(stand_in)]
        for position in form.opaque:
            values[position] = self._unpack(values[position].data)
        return self._made(self._build, *values)

    def _wire_names(self, tag: bytes) -> dict[str, str]:
        """Name in the bytes -> field, for a record in that form."""
        if tag == b"T" and issubclass(self.cls, msgspec.Struct):
            return dict(zip(self.cls.__struct_encode_fields__, self.cls.__struct_fields__, strict=True))
        return {name: name for name in self._hints}

    def _rebuild(self, raw: Any, names: dict[str, str]) -> Any:
        """A record from bytes that do not match the current class: fields may have been added or removed, have another
        annotation, or contain a value that their annotation does not allow."""
        if type(raw) is not dict:
            raise DamagedObject("a stored or received record is damaged")
        values = {names[name]: self._converted(value, names[name]) for name, value in raw.items() if name in names}
        return self._made(self._build_by_name, **values)

    def _converted(self, value: Any, field: str) -> Any:
        if type(value) is _Ext:
            return self._unpack(bytes(value.data))
        try:
            return msgspec.convert(value, self._hints[field])
        except (msgspec.ValidationError, TypeError, ValueError, NameError):
            if type(value) in (list, dict) and is_exact(self._hints[field]):
                raise ValueNotCarried(
                    f"a record of class {self.cls.__qualname__} holds something in its field {field} that the field's "
                    "annotation does not allow for",
                ) from None
            return value

    def _made(self, build: Callable[..., Any], *values: Any, **named: Any) -> Any:
        try:
            return build(*values, **named)
        except RayflowError:
            raise
        except Exception as error:  # any error of the user's own __post_init__
            raise ValueNotCarried(
                f"a stored or received record does not fit the class {self.cls.__qualname__} as it is now "
                f"({type(error).__name__})",
                advice="Give new fields a default, and let __post_init__ accept the values that it used to accept",
            ) from error


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _builders(cls: type[Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The constructors of a record: from all fields in order, and from some fields by name."""
    names = field_names(cls)
    if issubclass(cls, msgspec.Struct) or _has_plain_constructor(cls):
        parameters = inspect.signature(cls).parameters
        if all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters.values()):
            return cls, cls
        return lambda *values: cls(**dict(zip(names, values, strict=True))), cls

    def by_name(**named: Any) -> Any:
        record = object.__new__(cls)
        for field in dataclasses.fields(cls):
            if field.name in named:
                value = named[field.name]
            elif field.default is not dataclasses.MISSING:
                value = field.default
            elif field.default_factory is not dataclasses.MISSING:
                value = field.default_factory()
            else:
                raise TypeError(field.name)
            object.__setattr__(record, field.name, value)
        return record

    return lambda *values: by_name(**dict(zip(names, values, strict=True))), by_name


def _has_plain_constructor(cls: type[Any]) -> bool:
    """Whether a dataclass's own constructor takes every field and does nothing else."""
    return (
        bool(cls.__dataclass_params__.init)
        and not hasattr(cls, "__post_init__")
        and tuple(inspect.signature(cls).parameters) == field_names(cls)
    )
