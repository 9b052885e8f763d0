"""`rayflow run`: a job in this process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from rayflow.cli.options import checkpoints_option, lost_marker, place_options, run_options, set_option, settings_of
from rayflow.core.errors import InvalidSetting, RayflowError

if TYPE_CHECKING:
    from rayflow.core.settings import Settings
    from rayflow.plan.physical import JobPlan
    from rayflow.runtimes.hosting.options import RunOptions
    from rayflow.runtimes.hosting.status import JobStatus


@click.command()
@click.argument("job")
@click.option(
    "--runtime",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="local: in this process. ray: on a Ray of its own, on this machine.",
)
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help="With --runtime ray: how many processes.")
@place_options
@checkpoints_option
@click.option("--until-end", is_flag=True, help="Stop at the ends that the topics have now, everything published.")
@click.option("--from-savepoint", metavar="URI", help="Start from a savepoint.")
@click.option("--from-checkpoint", metavar="N", type=int, help="Start from an older checkpoint, by its epoch.")
@click.option("--savepoint-at-stop", metavar="URI", help="Write a savepoint when the job stops.")
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
@click.option("--metrics-port", metavar="PORT", type=int, help="Serve Prometheus metrics there (0: any free port).")
@click.option("--metrics-address", metavar="HOST", help="On which address.  [default: 127.0.0.1]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: info]")
def run(
    job: str,
    runtime: str,
    workers: int | None,
    broker: str | None,
    state: str | None,
    checkpoints: str | None,
    sets: dict[str, str],
    metrics_port: int | None,
    metrics_address: str | None,
    log_level: str | None,
    **only: Any,
) -> None:
    """Run JOB (FILE or FILE:VARIABLE) in this process, or on this machine's processors with --runtime ray.

    On a terminal a live line shows how it goes; otherwise JSON lines are logged. Ctrl-C stops after a last checkpoint;
    the next run goes on from there. A second Ctrl-C ends the process at once, which loses nothing either.
    """
    from rayflow.plan.compile import plan_of
    from rayflow.plan.load import load_job

    if runtime == "local" and workers is not None:
        raise click.UsageError("--workers goes with --runtime ray; this process is one")
    if runtime == "ray" and metrics_port is not None:
        raise click.UsageError("--metrics-port goes with --runtime local")
    settings = settings_of(
        {
            "broker": broker,
            "state": state,
            "checkpoints": checkpoints,
            "metrics_port": metrics_port,
            "metrics_address": metrics_address,
            "log_level": log_level,
        },
        sets,
    )
    plan = plan_of(load_job(job))
    refuse_unread(sets)
    if runtime == "ray":
        from rayflow.cli.jobs.places import absolute_flags, absolute_settings
        from rayflow.cli.run_on_ray import run_on_ray

        settings = absolute_settings(settings)
        run_on_ray(plan, job, run_options(settings, plan.name, **absolute_flags(only)), settings, workers or 0)
    else:
        run_plan(plan, run_options(settings, plan.name, **only), settings, job)


def run_plan(plan: JobPlan, options: RunOptions, settings: Settings, target: str) -> JobStatus:
    """Run a plan to its end, shown on the terminal or in the log. Raises what the runtime raises."""
    from rayflow.cli.live import new_view
    from rayflow.cli.signals import stopping
    from rayflow.core.logging import configure_logging, get_logger
    from rayflow.runtimes.local.runtime import LocalRuntime
    from rayflow.runtimes.machine.journal import Journal

    journal = Journal()
    configure_logging(plan.name, level=settings.log_level, also=journal)
    view = new_view()
    with ExitStack() as stack:
        metrics = None
        if settings.metrics_port is not None:
            from rayflow.core.metrics import Metrics

            metrics = Metrics(plan.name)
            server = metrics.serve(settings.metrics_port, settings.metrics_address)
            stack.callback(server.close)
            get_logger("rayflow.run").info("metrics served", url=f"http://{server.address}/metrics")
        runtime = LocalRuntime(plan, options, on_progress=view.show, metrics=metrics, journal=journal, target=target)

        def stop() -> None:
            view.asked_to_stop()
            runtime.stop()

        stack.enter_context(stopping(stop))
        stack.callback(view.stop)
        view.start()
        try:
            status = runtime.run()
        except RayflowError as error:
            error.job = error.job or plan.name
            raise
    view.finish(status)
    return status


def refuse_unread(sets: Mapping[str, str]) -> None:
    """Refuse a `--set` that is no setting and that the loaded job file has not asked for: most likely a slip."""
    from rayflow.core.parameters import unread
    from rayflow.core.settings import Settings

    for name in unread():
        if name in sets:
            close = get_close_matches(name, Settings.model_fields)
            raise InvalidSetting(
                f"--set {name}: there is no such setting, and the job file does not read it with rf.setting()",
                advice=f"Did you mean {close[0]}?" if close else "Correct the name, or read it in the job file",
            )
