"""`rayflow topics write`: write records from lines of JSON or text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import click
import msgspec

from rayflow.cli.options import connector_of, place_options, settings_of
from rayflow.connectors.base import Partitioned
from rayflow.connectors.parts import as_appendable
from rayflow.core.batch import EncodedBatch
from rayflow.core.clock import system_clock
from rayflow.core.errors import DecodeFailed
from rayflow.operators.time_column import LAST_TIME

_CHUNK = 1 << 20


@click.command()
@click.argument("topic")
@click.option("--key", "field", metavar="FIELD", help="Field of the value to use as the key.")
@click.option("--envelope", is_flag=True, help='Each line is {"key": ..., "value": ..., "timestamp": ms}.')
@click.option("--text", is_flag=True, help="Each line is plain text, not JSON.")
@place_options
def write(topic: str, field: str | None, envelope: bool, text: bool, broker: str | None, state: str | None) -> None:
    """Write each line of standard input to a topic as a record.

    A line is a JSON value. With --envelope it is a record, whose key, value and timestamp are optional. A string key
    is written as text, any other key as JSON.
    """
    if (field is not None) + envelope + text > 1:
        raise click.UsageError("Use only one of --key, --envelope and --text.")
    connector = connector_of(settings_of({"broker": broker, "state": state}))
    seen = written = 0
    try:
        if isinstance(connector, Partitioned):
            connector.partitions(topic)  # raises UnknownTopic before a line is read
        appender = as_appendable(connector).appender()
        try:
            for lines in _arriving(sys.stdin.buffer):
                batch = _text(topic, lines) if text else _batch(topic, lines, seen, written, field, envelope)
                if len(batch):
                    appender.append(batch)
                    appender.flush()
                seen += len(lines)
                written += len(batch)
        finally:
            appender.close()
    finally:
        connector.close()
    click.echo(f"wrote {written:,} record{'s' if written != 1 else ''} to {topic}", err=True)


def _arriving(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yields the complete lines that have arrived: a slow pipe is written line by line, a file in bulk."""
    rest = b""
    while chunk := stream.read1(_CHUNK):  # type: ignore[attr-defined]
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    yield [rest]


class _Envelope(msgspec.Struct):
    key: Any = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: int | None = None


def _text(topic: str, lines: list[bytes]) -> EncodedBatch:
    values: list[bytes | None] = [line for line in lines if line]
    return EncodedBatch(topic, [None] * len(values), values, [system_clock()] * len(values))


def _batch(topic: str, lines: list[bytes], seen: int, written: int, field: str | None, envelope: bool) -> EncodedBatch:
    now = system_clock()
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    timestamps: list[int] = []
    decode = msgspec.json.Decoder(_Envelope if envelope else msgspec.Raw if field is None else dict[str, Any]).decode
    for number, line in enumerate(lines, seen + 1):
        if not line.strip():
            continue
        try:
            found: Any = decode(line)
            key = found.key if envelope else None if field is None else found[field]
        except msgspec.DecodeError:
            wanted = "a record as --envelope wants it" if envelope else "JSON" if field is None else "a JSON object"
            raise _refused(number, written, f"is not {wanted}") from None
        except KeyError:
            raise _refused(number, written, f"has no field {field}") from None
        if envelope and found.timestamp is not None and not 0 <= found.timestamp <= LAST_TIME:
            raise _refused(number, written, "has a timestamp that is no time: it is in ms since the Unix epoch")
        content = bytes(found.value) if envelope else line
        keys.append(_key_bytes(key))
        values.append(None if content.strip() == b"null" else content)
        timestamps.append(found.timestamp if envelope and found.timestamp is not None else now)
    return EncodedBatch(topic, keys, values, timestamps)


def _key_bytes(key: Any) -> bytes | None:
    if key is None:
        return None
    return key.encode() if isinstance(key, str) else msgspec.json.encode(key)


def _refused(number: int, written: int, what: str) -> DecodeFailed:
    return DecodeFailed(
        f"Line {number} {what}", advice=f"{written:,} records were written; fix this line and continue from it"
    )
