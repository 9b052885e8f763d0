"""Options of the commands that talk to a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pathlib import Path

    from rayflow.runtimes.ray.client import Cluster

F = TypeVar("F", bound=Callable[..., Any])


def ray_option(command: F) -> F:
    """--ray ADDRESS."""
    return click.option(
        "--ray",
        "address",
        metavar="ADDRESS",
        envvar="RAY_ADDRESS",
        help="HOST:PORT of the cluster's head, or ray://HOST:PORT.  [default: RAY_ADDRESS, or the one here]",
    )(command)


def json_option(command: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def cluster_at(address: str | None, folder: Path | None = None) -> Cluster:
    """The cluster, to be entered."""
    from rayflow.runtimes.ray.client import Cluster

    return Cluster(address, folder=folder)
