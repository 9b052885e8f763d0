"""`rayflow topics create`."""

from __future__ import annotations

import click

from rayflow.cli.options import connector_of, place_options, settings_of
from rayflow.connectors.parts import as_admin


@click.command()
@click.argument("topic")
@click.option("--partitions", type=click.IntRange(min=1), default=4, show_default=True, help="Number of partitions.")
@click.option("--replication", type=click.IntRange(min=1), help="Replicas per partition.  [default: the broker's]")
@place_options
def create(topic: str, partitions: int, replication: int | None, broker: str | None, state: str | None) -> None:
    """Create a topic."""
    connector = connector_of(settings_of({"broker": broker, "state": state}))
    try:
        as_admin(connector).create(topic, partitions, replication)
    finally:
        connector.close()
    click.echo(f"created {topic} with {partitions} partition{'s' if partitions > 1 else ''}", err=True)
