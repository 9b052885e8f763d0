"""The jobs of `jobs/`, loaded as the command line loads them."""

from __future__ import annotations

from pathlib import Path

from rayflow.api.job import Job
from rayflow.plan.load import load_job

JOBS = Path(__file__).parents[2] / "jobs"


def job_of(name: str) -> Job:
    """The job of jobs/NAME.py."""
    return load_job(str(JOBS / f"{name}.py"))
