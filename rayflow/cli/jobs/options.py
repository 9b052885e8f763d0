"""Options of the commands for running jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rayflow.cli.options import state_option

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
        help="HOST:PORT of the cluster's head, or ray://HOST:PORT.  [default: RAY_ADDRESS, or the cluster on this "
        "machine]",
    )(command)


def place_of_jobs(command: F) -> F:
    """--state DIR and --ray ADDRESS: where to look for running jobs."""
    command = state_option(command)
    return click.option(
        "--ray",
        "address",
        metavar="ADDRESS",
        envvar="RAY_ADDRESS",
        help="Look on this Ray cluster only: HOST:PORT of its head, or ray://HOST:PORT.  [default: RAY_ADDRESS, or the "
        "state directory, then the cluster on this machine]",
    )(command)


def json_option(command: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def cluster_at(address: str | None, folder: Path | None = None) -> Cluster:
    """The cluster, to be entered."""
    from rayflow.runtimes.ray.client import Cluster

    return Cluster(address, folder=folder)
