"""What `rayflow doctor` looks at: each check says what it found and what to do."""

from __future__ import annotations

import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rayflow.cli.figures import size_text
from rayflow.core.errors import RayflowError
from rayflow.version import __version__

if TYPE_CHECKING:
    from rayflow.core.settings import Settings

LIBRARIES = ("confluent-kafka", "lmdb", "msgpack", "msgspec", "obstore")
FREE_LEAST = 1 << 30
"""Bytes of free disk below which a job may soon stop."""
OPEN_FILES_LEAST = 1_024
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result. `code` is the exit code that a failed check asks for."""

    subject: str
    state: Literal["ok", "note", "failed"]
    found: str
    advice: str = ""
    code: int = 1


def python_and_libraries() -> Iterator[Finding]:
    """Python's version and those of the libraries that do the work."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    found, missing = [f"rayflow {__version__}"], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = "Install the package whole: pip install rayflow-streams"
        yield Finding("libraries", "failed", f"missing: {', '.join(missing)}", advice)
    else:
        yield Finding("libraries", "ok", ", ".join(found))
    yield Finding("not needed", "ok", "Java and Ray: a run in one process does without")


def disk(state: Path) -> Iterator[Finding]:
    """The state directory: may it be written, is there room, is it on a local disk."""
    place = next(folder for folder in (state.absolute(), *state.absolute().parents) if folder.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=place) as probe:
            ahead = Path(probe.name).stat().st_mtime - time.time()
    except OSError as error:
        advice = "Give --state a directory that you may write to"
        yield Finding("state directory", "failed", f"{place}: {error.strerror}", advice)
        return
    yield Finding("state directory", "ok", f"{state.absolute()} ({'exists' if state.exists() else 'to be made'})")
    if abs(ahead) > 5:
        advice = "Set both clocks by NTP"
        yield Finding("clock", "note", f"the disk's clock is {ahead:+.0f} s from this machine's", advice)
    free = shutil.disk_usage(place).free
    if free < FREE_LEAST:
        yield Finding("disk space", "note", f"{size_text(free)} free", "Free space, or move --state")
    else:
        yield Finding("disk space", "ok", f"{size_text(free)} free")
    kind = file_system_of(place)
    if kind is not None and kind.startswith(NETWORK_FILE_SYSTEMS):
        advice = "Keep --state on a local disk (LMDB needs one); checkpoints may go anywhere: --checkpoints"
        yield Finding("file system", "failed", f"{place} lies on {kind}", advice)


def file_system_of(place: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the file system that holds `place`; None where the system does not say (macOS)."""
    if not mounts.exists():
        return None
    rows = [line.split(" ") for line in mounts.read_text().splitlines()]
    holding = [row for row in rows if place.is_relative_to(row[1].replace("\\040", " "))]
    return max(holding, key=lambda row: len(row[1]))[2] if holding else None


def limits() -> Iterator[Finding]:
    """How many files this process may have open: LMDB, sockets and the embedded log take some for each task."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES_LEAST:
        yield Finding("open files", "note", f"at most {soft}", f"Raise the limit: ulimit -n {min(hard, 65_536)}")
    else:
        yield Finding("open files", "ok", "unlimited" if soft == resource.RLIM_INFINITY else f"at most {soft:,}")


def broker(settings: Settings) -> Iterator[Finding]:
    """Whether the broker of the run can be reached."""
    from rayflow.cli.options import connector_of

    try:
        connector = connector_of(settings)
        try:
            found = connector.check()
        finally:
            connector.close()
    except RayflowError as error:
        yield Finding("broker", "failed", f"[{error.code}] {error.what}", error.advice, error.exit_code)
    else:
        yield Finding("broker", "ok", found)


def all_checks(settings: Settings) -> Iterator[Finding]:
    """Every check, in the order that it is shown."""
    yield from python_and_libraries()
    yield from disk(settings.state)
    yield from limits()
    yield from broker(settings)
