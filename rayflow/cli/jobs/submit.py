"""`rayflow submit`: start a job on a Ray cluster."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import click

from rayflow.cli.jobs.options import cluster_at, ray_option
from rayflow.cli.options import finite, run_options, settings_of, start_options


@click.command()
@click.argument("job")
@ray_option
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    help="Number of workers.  [default: one per partition, as CPUs allow]",
)
@click.option(
    "--max-workers",
    metavar="M",
    type=click.IntRange(min=1),
    help="Scale up to M workers while they are busy and the job lags.",
)
@click.option(
    "--scaling-cooldown",
    metavar="SECONDS",
    type=float,
    callback=finite,
    default=120.0,
    show_default=True,
    help="Time between two scalings.",
)
@click.option(
    "--cpus", metavar="X", type=float, callback=finite, default=1.0, show_default=True, help="CPUs per worker."
)
@click.option("--wait", is_flag=True, help="Wait until the job ends.")
@start_options
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
    """Start JOB on a Ray cluster, and return when it runs. JOB is FILE or FILE:VARIABLE.

    Ships the project's folder to the workers: the nearest one above FILE with a rayflow.toml or pyproject.toml, else
    FILE's own folder. The job keeps running after this command returns; `rayflow status` shows it, `rayflow stop`
    stops it.
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
