"""`rayflow topics read`: print committed records, one per line."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rayflow.cli.options import connector_of, place_options, settings_of
from rayflow.cli.signals import stopping
from rayflow.cli.topics.reading import read_topic
from rayflow.connectors.parts import as_source
from rayflow.core.printable import printable

if TYPE_CHECKING:
    from rayflow.core.batch import Batch


@click.command()
@click.argument("topic")
@click.option("--from-start", is_flag=True, help="With --follow: print the existing records first.")
@click.option("--follow", is_flag=True, help="Print new records as they arrive, until Ctrl-C.")
@click.option("--max", "limit", metavar="N", type=click.IntRange(min=1), help="Stop after N records.")
@click.option(
    "--format", "form", type=click.Choice(["json", "value"]), default="json", show_default=True, help="See above."
)
@click.option("--raw", is_flag=True, help="On a terminal too, print control characters as they are.")
@place_options
def read(
    topic: str,
    from_start: bool,
    follow: bool,
    limit: int | None,
    form: str,
    raw: bool,
    broker: str | None,
    state: str | None,
) -> None:
    """Print a topic's committed records, one per line. Records of one partition are in order.

    Without --follow: prints the existing records and exits. With --follow: prints only new records.

    \b
    json   {"partition": 0, "offset": 7, "timestamp": 1700000000000, "key": ..., "value": ..., "headers": {...}}
    value  only the value, as it is stored
    Keys and values: JSON is printed as JSON, other text as a string, other bytes as {"base64": "..."}.

    On a terminal, control and formatting characters are shown as \\uNNNN, unless --raw is given: a record could
    otherwise change what the terminal shows or does. Into a file or pipe everything is printed as it is.
    """
    connector = connector_of(settings_of({"broker": broker, "state": state}))
    lines: Callable[[Batch], list[bytes]] = _json_lines if form == "json" else _value_lines
    escaping = not raw and sys.stdout.isatty()
    left = limit
    try:
        asked: list[bool] = []
        with stopping(lambda: asked.append(True), last_words=b"\n"):
            for polled in read_topic(
                as_source(connector),
                topic,
                from_start=from_start or not follow,
                follow=follow,
                wanted=lambda: not asked,
            ):
                batch = polled.batch
                if left is not None and len(batch) > left:
                    batch = batch.take(range(left))
                found = lines(batch)
                click.echo(b"".join(map(_escaped, found) if escaping else found), nl=False)
                if left is not None:
                    left -= len(batch)
                    if left <= 0:
                        break
    finally:
        connector.close()


def _json_lines(batch: Batch) -> list[bytes]:
    headers = batch.headers or [[] for _ in batch.values]
    encode = msgspec.json.encode
    lines = []
    for row in zip(batch.offsets, batch.timestamps, batch.keys, batch.values, headers, strict=True):
        offset, timestamp, key, value, own = row
        record: dict[str, Any] = {
            "partition": batch.origin.partition,
            "offset": offset,
            "timestamp": timestamp,
            "key": shown(key),
            "value": shown(value),
        }
        if own:
            record["headers"] = {name: shown(content) for name, content in own}
        lines.append(encode(record) + b"\n")
    return lines


def _value_lines(batch: Batch) -> list[bytes]:
    return [(b"null" if value is None else value) + b"\n" for value in batch.values]


def _escaped(line: bytes) -> bytes:
    """A line that a terminal shows and does not act on."""
    return printable(line[:-1].decode(errors="backslashreplace")).encode() + b"\n"


def shown(data: bytes | None) -> Any:
    """Bytes as JSON output: the JSON that they contain, otherwise text, otherwise base64."""
    if data is None:
        return None
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
