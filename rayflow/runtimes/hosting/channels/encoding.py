"""Encodes channel events as bytes for frames between workers, with records as typed columns."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from rayflow.core.batch import Batch, Change, Origin
from rayflow.core.errors import ValueNotCarried
from rayflow.core.ids import ChannelId
from rayflow.engine.events import BarrierReceived, BatchReceived, ChannelEvent, IdleReceived, WatermarkReceived
from rayflow.serde.codec import Codec

_BATCH, _WATERMARK, _IDLE, _BARRIER = range(4)
_CHANGES = tuple(Change)

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def encode_event(event: ChannelEvent, codec: Codec) -> bytes:
    """Encode one event. Raises ValueNotCarried for a key or a value that the codec cannot encode."""
    channel = event.channel
    match event:
        case BatchReceived(_, batch):
            return _pack((_BATCH, *channel, *_columns(batch, codec, channel.exchange)))
        case WatermarkReceived(_, watermark):
            return _pack((_WATERMARK, *channel, watermark))
        case IdleReceived():
            return _pack((_IDLE, *channel))
        case BarrierReceived(_, epoch, drain):
            return _pack((_BARRIER, *channel, epoch, drain))


def decode_event(data: bytes | memoryview, codec: Codec) -> ChannelEvent:
    """The inverse of `encode_event`. Raises DamagedObject."""
    kind, exchange, source, target, *rest = _unpack(data)
    channel = ChannelId(exchange, source, target)
    if kind == _BATCH:
        return BatchReceived(channel, _batch(rest, codec))
    if kind == _WATERMARK:
        return WatermarkReceived(channel, rest[0])
    if kind == _IDLE:
        return IdleReceived(channel)
    return BarrierReceived(channel, rest[0], rest[1])


def _columns(batch: Batch, codec: Codec, exchange: str) -> tuple[Any, ...]:
    try:
        keys, values = codec.encode_column(batch.keys), codec.encode_column(batch.values)
        old = None if batch.old is None else bytes(codec.encode_column(batch.old))
    except ValueNotCarried as error:
        place = batch.origin
        raise ValueNotCarried(
            error.what, operator=exchange, topic=place.topic, partition=place.partition, advice=error.advice
        ) from error
    offsets = batch.offsets
    dense = isinstance(offsets, range) and offsets.step == 1
    return (
        *batch.origin,
        bytes(keys),
        bytes(values),
        _integers(batch.timestamps),
        (offsets.start, offsets.stop) if isinstance(offsets, range) and dense else _integers(list(offsets)),
        batch.headers,
        None if batch.lateness is None else _integers(batch.lateness),
        None if batch.changes is None else bytes(batch.changes),
        old,
    )


def _batch(columns: list[Any], codec: Codec) -> Batch:
    topic, partition, keys, values, timestamps, offsets, headers, lateness, changes, old = columns
    return Batch.carried(
        Origin(topic, partition),
        keys=codec.decode_column(keys),
        values=codec.decode_column(values),
        timestamps=_from_integers(timestamps),
        offsets=range(*offsets) if isinstance(offsets, list) else _from_integers(offsets),
        headers=None if headers is None else [[(name, value) for name, value in record] for record in headers],
        lateness=None if lateness is None else _from_integers(lateness),
        changes=None if changes is None else list(map(_CHANGES.__getitem__, changes)),
        old=None if old is None else codec.decode_column(old),
    )


def _integers(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def _from_integers(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 8}q", data))
