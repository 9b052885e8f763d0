"""`rayflow topics delete`."""

from __future__ import annotations

import click

from rayflow.cli.options import connector_of, place_options, settings_of
from rayflow.connectors.parts import as_admin


@click.command()
@click.argument("topic")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@place_options
def delete(topic: str, yes: bool, broker: str | None, state: str | None) -> None:
    """Delete a topic and all its records."""
    if not yes:
        click.confirm(f"Delete {topic} and all its records?", abort=True)
    connector = connector_of(settings_of({"broker": broker, "state": state}))
    try:
        as_admin(connector).delete(topic)
    finally:
        connector.close()
    click.echo(f"deleted {topic}", err=True)
