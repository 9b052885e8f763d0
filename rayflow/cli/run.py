"""`rayflow run`: run a job on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from rayflow.cli.options import run_options, settings_of, start_options
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
    help="local: one process. ray: worker processes on a private Ray instance.",
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(min=1), help="Number of worker processes; needs --runtime ray."
)
@start_options
@click.option("--savepoint-at-stop", metavar="URI", help="Write a savepoint when the job stops.")
@click.option(
    "--metrics-port", metavar="PORT", type=int, help="Serve Prometheus metrics on this port (0: any free port)."
)
@click.option("--metrics-address", metavar="HOST", help="Address to serve metrics on.  [default: 127.0.0.1]")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Lowest level to log.  [default: info]",
)
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
    """Run JOB on this machine. JOB is FILE or FILE:VARIABLE.

    The job resumes from its last checkpoint. A terminal shows a live status line; otherwise progress is logged as
    JSON lines. Ctrl-C stops the job after a final checkpoint. A second Ctrl-C exits immediately: the next run resumes
    from the last checkpoint, and no record is lost or counted twice.
    """
    from rayflow.cli.running import refuse_running
    from rayflow.plan.compile import plan_of
    from rayflow.plan.load import load_job

    if runtime == "local" and workers is not None:
        raise click.UsageError("--workers needs --runtime ray; the local runtime is one process")
    if runtime == "ray" and metrics_port is not None:
        raise click.UsageError("--metrics-port needs --runtime local")
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
        options = run_options(settings, plan.name, **absolute_flags(only))
        refuse_running(plan.name, options)
        run_on_ray(plan, job, options, settings, workers or 0)
    else:
        options = run_options(settings, plan.name, **only)
        refuse_running(plan.name, options)
        run_plan(plan, options, settings, job)


def run_plan(plan: JobPlan, options: RunOptions, settings: Settings, target: str) -> JobStatus:
    """Run a plan until it ends, and show its progress. Raises what the runtime raises."""
    from rayflow.cli.live import JOURNAL, new_view
    from rayflow.cli.signals import stopping
    from rayflow.core.logging import configure_logging, get_logger
    from rayflow.runtimes.local.runtime import LocalRuntime
    from rayflow.runtimes.machine.journal import Journal

    journal = Journal()
    configure_logging(plan.name, level=settings.log_level, also=journal, only_also=JOURNAL)
    view = new_view(journal=True)
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
    """Refuse a `--set` whose name is neither a setting nor a parameter that the loaded job file reads.

    Raises InvalidSetting.
    """
    from rayflow.core.parameters import unread
    from rayflow.core.settings import Settings

    for name in unread():
        if name in sets:
            close = get_close_matches(name, Settings.model_fields)
            raise InvalidSetting(
                f"--set {name}: unknown setting, and the job file does not read it with rf.setting()",
                advice=f"Did you mean {close[0]}?" if close else "Correct the name, or read it in the job file",
            )
