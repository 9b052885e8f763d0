"""`rayflow run --runtime ray`: run a job on a private Ray instance that ends with the command."""

from __future__ import annotations

import os
import secrets
import time
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayflow.core.settings import Settings
    from rayflow.plan.physical import JobPlan
    from rayflow.runtimes.hosting.options import RunOptions
    from rayflow.runtimes.hosting.status import JobStatus
    from rayflow.runtimes.ray.client import JobHandle

EVERY = 0.25
"""Seconds between two polls of the job's status."""


def run_on_ray(plan: JobPlan, target: str, options: RunOptions, settings: Settings, workers: int) -> JobStatus:
    """Run a plan until it ends, and show its progress. Raises the job's error, ClusterUnavailable.

    `options` and `settings` have absolute paths. `workers` 0: one per partition, as far as CPUs are free.
    """
    from rayflow.cli.live import new_view
    from rayflow.cli.signals import stopping
    from rayflow.core.logging import configure_logging
    from rayflow.runtimes.hosting.status import JobStatus
    from rayflow.runtimes.ray.client import Cluster
    from rayflow.runtimes.ray.spec import JobSpec

    configure_logging(plan.name, level=settings.log_level)
    spec = JobSpec(
        plan.name,
        str(Path(target).absolute()),
        options,
        uuid.uuid4().hex,
        secrets.token_hex(16),
        parameters=dict(settings.parameters),
        workers=workers,
        log_level=settings.log_level,
    )
    view, began, stops = new_view(), time.monotonic(), _Stops()
    with ExitStack() as stack:
        stack.callback(view.stop)
        view.start()
        view.show(JobStatus(plan.name, cause="Ray"))
        cluster = stack.enter_context(Cluster(None, local_cpus=max(os.cpu_count() or 1, workers)))
        stack.enter_context(stopping(stops.ask))  # after Ray, which takes the signals for itself
        job = cluster.submit(spec)
        for told in job.watch(EVERY):
            stops.pass_on(job)
            status = replace(told, elapsed=time.monotonic() - began)  # Ray itself included
            view.show(status)
        job.until_ended()
        job.remove()
    view.finish(status)
    return status


class _Stops:
    """Passes Ctrl-C from the signal handler on to the job, once."""

    def __init__(self) -> None:
        self._asked = self._passed_on = False

    def ask(self) -> None:
        self._asked = True

    def pass_on(self, job: JobHandle) -> None:
        if self._asked and not self._passed_on:
            self._passed_on = True
            job.ask_to_stop()
