"""`rayflow run` as the benchmarks call it: in a process of its own, as people run it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

JOBS = Path(__file__).with_name("jobs")


def rayflow_command(
    job: str,
    state: Path,
    *,
    broker: str | None = None,
    until_end: bool = True,
    workers: int = 0,
    settings: Mapping[str, object],
) -> list[str]:
    """The command that runs a job file of `benchmarks/jobs`; without a broker, on the embedded log.

    `workers`: so many, on a Ray that the command starts and ends; 0: in one process, without Ray.
    """
    return [
        *(sys.executable, "-m", "rayflow.cli", "run", str(JOBS / f"{job}.py"), "--state", str(state)),
        *(("--broker", f"kafka://{broker}") if broker is not None else ()),
        *(("--until-end",) if until_end else ()),
        *(("--runtime", "ray", "--workers", str(workers)) if workers else ()),
        *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
    ]
