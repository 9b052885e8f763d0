"""`rayflow topics list`."""

from __future__ import annotations

import click

from rayflow.cli.options import connector_of, place_options, settings_of
from rayflow.cli.terminal import say
from rayflow.connectors.parts import as_catalog


@click.command("list")
@place_options
def list_topics(broker: str | None, state: str | None) -> None:
    """List each topic's name, partitions and number of records (- if unknown), separated by tabs."""
    connector = connector_of(settings_of({"broker": broker, "state": state}))
    try:
        for topic in as_catalog(connector).topics():
            records = "-" if topic.records is None else str(topic.records)
            say(f"{topic.name}\t{topic.partitions}\t{records}")
    finally:
        connector.close()
