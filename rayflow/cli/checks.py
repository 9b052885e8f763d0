"""The checks of `rayflow doctor`: each reports what it found and what to do."""

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
from rayflow.core.installed import requirement
from rayflow.version import __version__

if TYPE_CHECKING:
    from rayflow.core.settings import Settings

LIBRARIES = ("confluent-kafka", "lmdb", "msgpack", "msgspec", "obstore")
FREE_LEAST = 1 << 30
"""Bytes of free disk below which `rayflow doctor` warns."""
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
    """The versions of Python and of the required libraries."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    found, missing = [f"rayflow {__version__}"], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = f"Reinstall the package with its dependencies: pip install '{requirement()}'"
        yield Finding("libraries", "failed", f"missing: {', '.join(missing)}", advice)
    else:
        yield Finding("libraries", "ok", ", ".join(found))
    yield Finding("not needed", "ok", "Java and Ray: a local run uses neither")


def disk(state: Path) -> Iterator[Finding]:
    """Whether the state directory is writable, has room, and is on a local disk."""
    place = next(folder for folder in (state.absolute(), *state.absolute().parents) if folder.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=place) as probe:
            ahead = Path(probe.name).stat().st_mtime - time.time()
    except OSError as error:
        advice = "Set --state to a directory that you can write to"
        yield Finding("state directory", "failed", f"{place}: {error.strerror}", advice)
        return
    yield Finding("state directory", "ok", f"{state.absolute()} ({'exists' if state.exists() else 'not created yet'})")
    if abs(ahead) > 5:
        advice = "Synchronise both clocks with NTP"
        yield Finding("clock", "note", f"the file system's clock differs from this machine's by {ahead:+.0f} s", advice)
    free = shutil.disk_usage(place).free
    if free < FREE_LEAST:
        yield Finding("disk space", "note", f"{size_text(free)} free", "Free space, or move --state")
    else:
        yield Finding("disk space", "ok", f"{size_text(free)} free")
    kind = file_system_of(place)
    if kind is not None and kind.startswith(NETWORK_FILE_SYSTEMS):
        advice = "Put --state on a local disk: LMDB needs one. Only checkpoints can be remote: --checkpoints"
        yield Finding("file system", "failed", f"{place} is on {kind}", advice)


def file_system_of(place: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the file system that holds `place`; None where the system does not say (macOS)."""
    if not mounts.exists():
        return None
    rows = [line.split(" ") for line in mounts.read_text().splitlines()]
    holding = [row for row in rows if place.is_relative_to(row[1].replace("\\040", " "))]
    return max(holding, key=lambda row: len(row[1]))[2] if holding else None


def limits() -> Iterator[Finding]:
    """The limit on open files: each task opens some for LMDB, sockets and the embedded log."""
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
    """All checks, in the order that they are shown in."""
    yield from python_and_libraries()
    yield from disk(settings.state)
    yield from limits()
    yield from broker(settings)
