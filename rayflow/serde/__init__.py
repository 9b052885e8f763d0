"""Serdes, which convert between the bytes of a topic and Python objects, and the codecs of state and exchanges."""

from rayflow.serde.auto import auto
from rayflow.serde.base import Serde
from rayflow.serde.choose import serde_for
from rayflow.serde.json import JsonSerde, json
from rayflow.serde.msgpack import MsgpackSerde, msgpack
from rayflow.serde.numbers import float64, int32, int64
from rayflow.serde.raw import bytes_, text
from rayflow.serde.record import Record

__all__ = [
    "JsonSerde",
    "MsgpackSerde",
    "Record",
    "Serde",
    "auto",
    "bytes_",
    "float64",
    "int32",
    "int64",
    "json",
    "msgpack",
    "serde_for",
    "text",
]
