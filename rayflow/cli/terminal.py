"""Prints text that others may have written: names of topics, logs, errors of jobs."""

from __future__ import annotations

import sys

import click

from rayflow.core.printable import printable


def say(text: str, *, err: bool = False) -> None:
    """Print the text and a line end: as it is into a file or pipe, on a terminal without anything that it would act
    on."""
    stream = sys.stderr if err else sys.stdout
    click.echo(printable(text, lines=True) if stream.isatty() else text, err=err, color=True)
