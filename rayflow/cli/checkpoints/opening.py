"""Opens the checkpoint store that JOB, --state and --checkpoints name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayflow.cli.options import settings_of

if TYPE_CHECKING:
    from rayflow.checkpoint.store import CheckpointStore
    from rayflow.core.errors import RayflowError


def opened(job: str, state: str | None, checkpoints: str | None) -> CheckpointStore:
    """The checkpoint store of a job, by its name or its file; or the savepoint that `checkpoints` names.

    Raises InvalidSetting, CheckpointStoreFailed.
    """
    from rayflow.checkpoint.layout import SAVEPOINT
    from rayflow.checkpoint.open import open_store, uri_of_job

    settings = settings_of({"state": state, "checkpoints": checkpoints})
    if settings.checkpoints is not None:
        given = open_store(settings.checkpoints)
        return given if given.list(SAVEPOINT) else open_store(uri_of_job(settings.checkpoints, _name_of(job)))
    return open_store(f"file:{(settings.state / 'jobs' / _name_of(job) / 'checkpoints').absolute()}")


def none_in(store: CheckpointStore, job: str) -> RayflowError:
    """The error for a store without checkpoints."""
    from rayflow.core.errors import ObjectMissing

    return ObjectMissing(
        f"there are no checkpoints in {store.uri}",
        job=job,
        advice="Check the job's name, and --state or --checkpoints. A job has a checkpoint after its first epoch",
    )


def _name_of(job: str) -> str:
    if not job.partition(":")[0].endswith(".py"):
        return job
    from rayflow.plan.load import load_job

    return load_job(job).name
