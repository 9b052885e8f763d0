"""Installs peers into the benchmarks' cache folder, once: virtual environments by pip, jars by Maven."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.contenders import NotInstalled

LIMIT = 900
"""Seconds that one step of an installation may take."""


def cache() -> Path:
    """The folder of everything that is installed; RAYFLOW_BENCHMARKS_CACHE moves it."""
    return Path(os.environ.get("RAYFLOW_BENCHMARKS_CACHE") or Path.home() / ".cache" / "rayflow-benchmarks")


def installed(name: str, wanted: str, install: Callable[[Path], None]) -> Path:
    """The folder of one peer. `install` fills it, unless it has been filled for the same `wanted`; others wait."""
    folder = cache() / name
    complete = folder / "complete"
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists() or complete.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            complete.write_text(wanted)
    return folder


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment with these requirements. Raises NotInstalled."""

    def install(folder: Path) -> None:
        run([sys.executable, "-m", "venv", str(folder / "venv")])
        run([str(folder / "venv/bin/pip"), "install", "--quiet", "--disable-pip-version-check", *requirements])

    return installed(name, "\n".join([sys.version, *requirements]), install) / "venv/bin/python"


def versions_in(python: Path, names: Sequence[str]) -> str:
    """The versions that an environment has of some distributions."""
    code = f"from importlib.metadata import version; print(*(n + ' ' + version(n) for n in {list(names)!r}), sep=', ')"
    return run([str(python), "-c", code]).strip()


def program(name: str) -> str:
    """The path of a program. Raises NotInstalled."""
    found = shutil.which(name)
    if found is None:
        raise NotInstalled(f"{name} is not on the PATH")
    return found


def run(command: Sequence[str]) -> str:
    """Run a step of an installation; gives what it printed. Raises NotInstalled with the end of what it said."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{command[0]} did not end within {LIMIT} s") from None
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise NotInstalled(f"{' '.join(command[:4])} ... failed: {' / '.join(said[-3:])}")
    return done.stdout
