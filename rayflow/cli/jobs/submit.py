"""`rayflow submit`: a job onto a Ray cluster."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import click

from rayflow.cli.jobs.options import cluster_at, ray_option
from rayflow.cli.options import checkpoints_option, lost_marker, place_options, run_options, set_option, settings_of


@click.command()
@click.argument("job")
@ray_option
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help="[default: one per partition while CPUs last]")
@click.option(
    "--max-workers", metavar="M", type=click.IntRange(min=1), help="Up to M while workers are busy and records wait."
)
@click.option(
    "--scaling-cooldown", metavar="SECONDS", type=float, default=120.0, show_default=True, help="Between two changes."
)
@click.option("--cpus", metavar="X", type=float, default=1.0, show_default=True, help="CPUs of each worker.")
@click.option("--wait", is_flag=True, help="Return when the job has ended.")
@place_options
@checkpoints_option
@click.option("--until-end", is_flag=True, help="Stop at the ends that the topics have now, everything published.")
@click.option("--from-savepoint", metavar="URI", help="Start from a savepoint.")
@click.option("--from-checkpoint", metavar="N", type=int, help="Start from an older checkpoint, by its epoch.")
@click.option("--drop-state", is_flag=True, help="Discard state of operators that the job no longer has.")
@click.option("--allow-new-partitions", is_flag=True, help="Accept new partitions of a topic whose keys key state.")
@click.option("--new-lineage", is_flag=True, help="Begin anew although the job has published with other checkpoints.")
@click.option(
    "--lost-marker",
    metavar="republish@EPOCH|skip@EPOCH",
    callback=lost_marker,
    help="What to do about the epoch whose marker is lost.",
)
@set_option
def submit(
    job: str,
    address: str | None,
    workers: int | None,
    max_workers: int | None,
    scaling_cooldown: float,
    cpus: float,
    wait: bool,
    broker: str | None,
    state: str | None,
    checkpoints: str | None,
    sets: dict[str, str],
    **only: Any,
) -> None:
    """Start JOB (FILE or FILE:VARIABLE) on a Ray cluster, and return when it runs.

    The folder that holds the file's rayflow.toml or pyproject.toml (else the file's own) is shipped to the workers.
    The job goes on when this command, or this machine, is gone: see `rayflow status` and `rayflow stop`.
    """
    from rayflow.cli.jobs.places import absolute_flags, absolute_settings
    from rayflow.cli.run import refuse_unread
    from rayflow.plan.compile import plan_of
    from rayflow.plan.load import load_job
    from rayflow.runtimes.ray.client import folder_of
    from rayflow.runtimes.ray.spec import JobSpec

    if max_workers is not None and workers is not None and max_workers < workers:
        raise click.UsageError(f"--max-workers {max_workers} is less than --workers {workers}")
    settings = settings_of({"broker": broker, "state": state, "checkpoints": checkpoints}, sets)
    plan = plan_of(load_job(job))
    refuse_unread(sets)
    folder, target = folder_of(job)
    settings = absolute_settings(settings)
    options = run_options(settings, plan.name, **absolute_flags(only))
    spec = JobSpec(
        plan.name,
        target,
        options,
        uuid.uuid4().hex,
        secrets.token_hex(16),
        parameters=dict(settings.parameters),
        workers=workers or 0,
        max_workers=max_workers or 0,
        scaling_cooldown=scaling_cooldown,
        cpus=cpus,
        log_level=settings.log_level,
        metrics_port=settings.metrics_port,
        metrics_address=settings.metrics_address,
    )
    with cluster_at(address, folder) as cluster:
        handle = cluster.submit(spec)
        found = handle.until_running(timeout=None)
        click.echo(f"{plan.name} {found.state}: rayflow status {plan.name}")
        if wait:
            found = handle.until_ended()
            click.echo(f"{plan.name} {found.state}: {found.records_in:,} records in, {found.records_out:,} out")
