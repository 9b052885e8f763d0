"""`rayflow describe`: show a job's plan without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rayflow.cli.options import set_option, settings_of
from rayflow.cli.terminal import say

if TYPE_CHECKING:
    from rayflow.plan.describe import Format


@click.command()
@click.argument("job")
@click.option("--format", "form", type=click.Choice(["text", "mermaid", "json"]), default="text", show_default=True)
@set_option
def describe(job: str, form: Format, sets: dict[str, str]) -> None:
    """Show JOB's stages, operators and their ids, exchanges, states and topics. JOB is FILE or FILE:VARIABLE."""
    from rayflow.plan.compile import plan_of
    from rayflow.plan.describe import describe as description
    from rayflow.plan.load import load_job

    settings_of({}, sets)
    say(description(plan_of(load_job(job)), form))
