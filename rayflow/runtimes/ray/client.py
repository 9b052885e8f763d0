"""The client of jobs on a Ray cluster: submit, list, watch, stop, rescale."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from rayflow.core.errors import (
    ClusterUnavailable,
    InvalidSetting,
    JobNameTaken,
    JobNotFound,
    RayflowError,
    VersionMismatch,
    WorkerFailed,
    WorkerLost,
)
from rayflow.core.installed import requirement
from rayflow.core.settings_file import FILE_NAME, refuse_other_owner
from rayflow.runtimes.hosting.control import JobControl
from rayflow.runtimes.hosting.queries import decoded_values, encoded_keys
from rayflow.runtimes.hosting.status import JobStatus
from rayflow.runtimes.ray.address import address_here, knock
from rayflow.runtimes.ray.spec import NAMESPACE, JobSpec

ANSWER = 60.0
"""Seconds within which a coordinator answers a request, even if Ray has to restart it first."""


LOCAL_STORE = 100 << 20
"""Bytes of the object store of a cluster in this process: records do not use it."""


class Cluster:
    """A connection to a Ray cluster. A context manager."""

    def __init__(self, address: str | None, *, folder: Path | None = None, local_cpus: float | None = None) -> None:
        """`address`: host:port of the head, ray://host:port, or None: the cluster on this machine. `folder`: the folder
        to ship with submitted jobs. `local_cpus`: start a cluster in this process instead, with this many CPUs.

        Raises ClusterUnavailable, VersionMismatch.
        """
        self._folder = folder
        self._address = address
        self._local_cpus = local_cpus

    def __enter__(self) -> Cluster:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")  # otherwise Ray tries for minutes if none is there
        address = self._address or os.environ.get("RAY_ADDRESS")
        if self._local_cpus is None:
            if address:
                knock(address)
            elif address_here() is None:
                raise ClusterUnavailable("no Ray cluster runs on this machine")
        try:
            import ray
        except ImportError:
            raise ClusterUnavailable("ray is not installed", advice=f"pip install '{requirement('ray')}'") from None
        options: dict[str, Any] = {
            "namespace": NAMESPACE,
            "logging_level": logging.ERROR,
            "log_to_driver": False,
            "configure_logging": False,
        }
        if self._folder is not None:
            options["runtime_env"] = {"working_dir": str(self._folder), "excludes": list(EXCLUDED)}
        if self._local_cpus is not None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            options.update(address="local", num_cpus=self._local_cpus, include_dashboard=False)
            options["object_store_memory"] = LOCAL_STORE
        else:
            options["address"] = address or "auto"  # only for a cluster that it finds itself Ray takes its token too
        place = address or "this machine"
        try:
            ray.init(**options)
        except ConnectionError as error:
            raise ClusterUnavailable(f"no Ray cluster answers at {place}") from error
        except ValueError as error:
            raise ClusterUnavailable(f"{place} cannot be used: {_first_line(error)}") from error
        except (RuntimeError, ray.exceptions.RayError) as error:
            text = str(error)
            if "ersion mismatch" in text:
                raise VersionMismatch(" ".join(text.split())) from error  # the versions are on separate lines
            raise ClusterUnavailable(f"no connection to {place}: {_first_line(error)}") from error
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    def submit(self, spec: JobSpec) -> JobHandle:
        """Start a job. The handle raises the errors of its start. Raises JobNameTaken."""
        import ray

        from rayflow.runtimes.ray.coordinator_actor import CoordinatorActor

        self._clear_place(spec.name)
        try:
            actor = (
                ray.remote(CoordinatorActor)
                .options(
                    name=spec.name,
                    namespace=NAMESPACE,
                    lifetime="detached",
                    max_restarts=-1,
                    max_task_retries=0,
                    max_concurrency=10_000,
                    num_cpus=0,
                )
                .remote(spec)
            )
        except ValueError as error:  # another client was faster
            raise JobNameTaken(f"job {spec.name} is already on the cluster", job=spec.name) from error
        return JobHandle(spec.name, actor)

    def job(self, name: str) -> JobHandle:
        """A job on the cluster. Raises JobNotFound."""
        import ray

        try:
            return JobHandle(name, ray.get_actor(name, namespace=NAMESPACE))
        except ValueError:
            raise JobNotFound(f"there is no job {name} on the cluster", job=name) from None

    def jobs(self) -> list[JobHandle]:
        """All jobs, by name."""
        from ray.util import list_named_actors

        names = [actor["name"] for actor in list_named_actors(all_namespaces=True) if actor["namespace"] == NAMESPACE]
        found = []
        for name in sorted(names):
            if "/" not in name:
                with suppress(JobNotFound):  # it was removed in the meantime
                    found.append(self.job(name))
        return found

    def _clear_place(self, name: str) -> None:
        """Remove an ended job of the same name. Raises JobNameTaken if the job is running."""
        try:
            job = self.job(name)
        except JobNotFound:
            return
        status = job.status()
        if not status.ended:
            raise JobNameTaken(f"job {name} is already on the cluster, {status.state}", job=name)
        job.remove()


class JobHandle(JobControl):
    """One job of a cluster: see JobControl."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name = name
        self._actor = actor

    def status(self) -> JobStatus:
        return cast(JobStatus, self._ask(self._actor.status, timeout=ANSWER))

    def until_running(self, timeout: float | None) -> JobStatus:
        """Wait until records are processed. Raises the error of a failed job."""
        return cast(JobStatus, self._ask(self._actor.until_running, timeout=timeout))

    def until_ended(self, timeout: float | None = None) -> JobStatus:
        with self._waiting() as caller:
            return cast(JobStatus, self._ask(self._actor.until_ended, caller, None, timeout=timeout))

    def watch(self, every: float = 0.5) -> Iterator[JobStatus]:
        while True:
            status = self.status()
            yield status
            if status.ended:
                return
            time.sleep(every)

    def logs(self, after: int = 0) -> tuple[int, list[str]]:
        return cast("tuple[int, list[str]]", self._ask(self._actor.logs, after, timeout=ANSWER))

    def stop(self, *, drain: bool = False, savepoint: str | None = None, timeout: float | None = None) -> JobStatus:
        with self._waiting() as caller:
            self._ask(self._actor.stop, drain, savepoint, caller, timeout=ANSWER)
            status = cast(JobStatus, self._ask(self._actor.until_ended, caller, savepoint, timeout=timeout))
        with suppress(JobNotFound):  # another client, which stopped it too, was faster
            self._ask(self._actor.until_answered, timeout=ANSWER)
        self.remove()
        return status

    def ask_to_stop(self, *, drain: bool = False, savepoint: str | None = None) -> None:
        self._ask(self._actor.stop, drain, savepoint, None, timeout=ANSWER)

    def savepoint(self, uri: str) -> int:
        return cast(int, self._ask(self._actor.savepoint, uri, self.status().epoch))

    def rescale(self, workers: int) -> JobStatus:
        return cast(JobStatus, self._ask(self._actor.rescale, workers))

    def query(self, operator: str, keys: Sequence[Any], *, table: str | None = None) -> list[Any]:
        return decoded_values(self._ask(self._actor.query, operator, encoded_keys(keys), table, timeout=ANSWER))

    def remove(self) -> None:
        import ray

        ray.kill(self._actor, no_restart=True)
        end = time.monotonic() + ANSWER
        while self._is_there():
            if time.monotonic() > end:
                raise WorkerLost("the job's coordinator did not end", job=self.name)
            time.sleep(0.05)

    @contextmanager
    def _waiting(self) -> Iterator[str]:
        """An id for the coordinator: until the end of the block, other clients do not remove the job once it ends."""
        caller = uuid.uuid4().hex
        try:
            yield caller
        finally:
            self._actor.answered.remote(caller)

    def _is_there(self) -> bool:
        """Whether this job's coordinator is on the cluster. Another job may have its name by now."""
        import ray

        try:
            return bool(ray.get_actor(self.name, namespace=NAMESPACE) == self._actor)
        except ValueError:
            return False

    def _ask(self, method: Any, *arguments: Any, timeout: float | None = None) -> Any:
        """Call the coordinator; repeat the call while Ray restarts it."""
        import ray

        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else max(0.1, end - time.monotonic())
            with _unwrapped(self.name):
                try:
                    return ray.get(method.remote(*arguments), timeout=left)
                except ray.exceptions.GetTimeoutError:
                    raise WorkerLost(f"the coordinator has not answered for {timeout:.0f} s", job=self.name) from None
                except ray.exceptions.ActorUnavailableError:
                    pass
                except ray.exceptions.ActorDiedError as error:
                    if not self._is_there():
                        raise JobNotFound(
                            f"the job's coordinator is gone: {_first_line(error)}", job=self.name
                        ) from None
            if end is not None and time.monotonic() > end:
                raise WorkerLost("the coordinator is gone", job=self.name)
            time.sleep(0.1)


EXCLUDED = (".git", ".venv", "rayflow-data", "__pycache__", ".mypy_cache", ".ruff_cache", "node_modules")
"""Files that are not shipped with a job's folder."""


def folder_of(target: str) -> tuple[Path, str]:
    """The folder to ship with a job file, and the file's path in it.

    The nearest folder at or above the file that contains a rayflow.toml or a pyproject.toml; otherwise the file's own
    folder, or the parent of its packages. Raises InvalidSetting, also where one of the two belongs to another user.
    """
    text, colon, variable = target.rpartition(":")
    path = Path(text if colon and not Path(target).exists() else target).resolve()
    if not path.is_file():
        raise InvalidSetting(f"there is no file {path.name} in {path.parent}")
    folder = path.parent
    for above in path.parents:
        marks = [above / name for name in (FILE_NAME, "pyproject.toml") if (above / name).is_file()]
        if marks:  # the workers import from this folder: nobody else's file decides which it is
            for mark in marks:
                refuse_other_owner(mark)
            folder = above
            break
    else:
        while (folder / "__init__.py").is_file():
            folder = folder.parent
    inner = str(path.relative_to(folder))
    return folder, f"{inner}:{variable}" if colon and not Path(target).exists() else inner


@contextmanager
def _unwrapped(job: str) -> Iterator[None]:
    """The error that an actor raised."""
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, RayflowError):
            raise cause from None
        raise WorkerFailed(f"the coordinator has failed: {type(cause).__name__}: {cause}", job=job) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
