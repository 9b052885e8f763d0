"""`rayflow doctor`: check whether jobs can run on this machine."""

from __future__ import annotations

import sys

import click

from rayflow.cli.options import place_options, set_option, settings_of
from rayflow.core.printable import printable

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "failed": ("FAILED", "red")}


@click.command()
@place_options
@set_option
def doctor(broker: str | None, state: str | None, sets: dict[str, str]) -> None:
    """Check Python, libraries, disk, limits and the broker. Each problem comes with a fix."""
    from rayflow.cli.checks import all_checks

    code = 0
    for finding in all_checks(settings_of({"broker": broker, "state": state}, sets)):
        word, colour = _MARKS[finding.state]
        click.echo(f"{click.style(f'{word:7}', fg=colour)} {finding.subject:16} {printable(finding.found)}")
        if finding.advice:
            click.echo(f"{'':24} -> {printable(finding.advice)}")
        if finding.state == "failed":
            code = max(code, finding.code)
    if code == 0:
        click.echo("Ready: rayflow run JOB")
    sys.exit(code)
