"""Prints an error: a few lines on a terminal, one JSON log line elsewhere."""

from __future__ import annotations

import sys
import traceback

from rayflow.core.errors import InvariantBroken, RayflowError
from rayflow.core.printable import printable


def show_error(error: RayflowError) -> None:
    """Print what went wrong, where, and what to do, to standard error."""
    if not sys.stderr.isatty():
        _log(error)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble((f"error {error.code}", "bold red"), " ", printable(error.what, lines=True)))
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in error.where.items():
        rows.add_row(f"  {name}", Text(printable(str(value))))
    if error.advice:
        rows.add_row("  do", Text(printable(error.advice, lines=True), style="bold"))
    if rows.row_count:
        console.print(rows)


def show_unexpected(error: Exception) -> None:
    """Print the class and place of an unexpected exception, never its text, which may contain a record's value."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    show_error(
        InvariantBroken(
            f"unexpected {type(error).__name__} at {frame.filename}:{frame.lineno}",
            advice="This is a bug in rayflow: report it with the traceback that RAYFLOW_DEBUG=1 shows",
        )
    )


def _log(error: RayflowError) -> None:
    from rayflow.core.logging import configure_logging, error_fields, get_logger

    configure_logging(error.job, json=True)
    get_logger("rayflow.cli").error(error.what, **error_fields(error))
