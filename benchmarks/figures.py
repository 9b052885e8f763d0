"""Figures with their targets, for the benchmarks that compare rayflow with nothing but a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from benchmarks.report import machine, write_json

Command = TypeVar("Command", bound=Callable[..., Any])
RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `at_most` is its target, in the same unit, if it has one."""

    name: str
    value: float
    unit: str
    at_most: float | None = None


def json_option(name: str) -> Callable[[Command], Command]:
    """Where a benchmark writes its figures."""
    return click.option(
        "--json", "json_file", type=click.Path(path_type=Path), default=RESULTS / f"{name}.json", show_default=False
    )


def show(title: str, figures: Sequence[Figure], json_file: Path, about: Mapping[str, Any]) -> None:
    """Print a table and write a file."""
    Console(width=120).print(table(title, figures))
    write_json({**machine(), **about, "figures": [asdict(figure) for figure in figures]}, json_file)
    click.echo(f"written: {json_file}")


def table(title: str, figures: Sequence[Figure]) -> Table:
    """One row a figure, its target beside it."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("figure")
    shown.add_column("measured", justify="right")
    shown.add_column("target", justify="right")
    for figure in figures:
        target = "" if figure.at_most is None else f"<= {_text(figure.at_most)} {figure.unit}"
        met = figure.at_most is None or figure.value <= figure.at_most
        shown.add_row(figure.name, f"{_text(figure.value)} {figure.unit}", target, style=None if met else "red")
    return shown


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above.

    >>> percentile([4, 1, 3, 2], 0.5), percentile([1, 2, 3, 4], 0.99)
    (2, 4)
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
