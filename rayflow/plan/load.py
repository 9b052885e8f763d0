"""Imports a job file, always under the same module name, and finds its Job."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from rayflow.api.job import Job
from rayflow.core.errors import JobFileFailed, NoJobFound, RayflowError, SeveralJobs


def load_job(target: str) -> Job:
    """The job in "FILE", or in "FILE:VARIABLE" if the file has several.

    The file is imported as a module whose name depends only on its place (see `module_name`), so record classes have
    the same qualified names in every process. It runs once per process. Its folder is added to `sys.path`, like with
    `python FILE`.

    Raises JobFileFailed, NoJobFound, SeveralJobs, and every RayflowError that the job file raises.
    """
    path, variable = _parse(target)
    module = _import(path)
    jobs = {name: value for name, value in vars(module).items() if isinstance(value, Job)}
    if variable is not None:
        if variable not in jobs:
            found = f"it has {', '.join(sorted(jobs))}" if jobs else "it has no job at module level"
            advice = "Name one that it has: FILE:VARIABLE" if jobs else None
            raise NoJobFound(f"{path.name} has no job called {variable}: {found}", advice=advice)
        return jobs[variable]
    names: dict[int, str] = {id(job): name for name, job in reversed(jobs.items())}
    if not names:
        raise NoJobFound(f"{path.name} defines no job")
    if len(names) > 1:
        listed = sorted(names.values())
        raise SeveralJobs(f"{path.name} defines {', '.join(listed)}", advice=f"Name one: {path}:{listed[0]}")
    return next(iter(jobs.values()))


def module_name(path: Path) -> tuple[str, Path]:
    """The name under which a job file is imported, and the folder to which it is relative.

    Inside packages (folders with `__init__.py`) it is the dotted name from the outermost one, such as "jobs.revenue",
    otherwise the file's stem. Characters that cannot be in a name become "_". "_job" is added to the name of a standard
    module.
    """
    parts = [re.sub(r"\W", "_", path.stem)]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    if not parts[-1].isidentifier():
        parts[-1] = f"_{parts[-1]}"
    name = ".".join(parts)
    return (f"{name}_job" if name in sys.stdlib_module_names or name == "rayflow" else name), folder


def _parse(target: str) -> tuple[Path, str | None]:
    whole = Path(target)
    before, colon, after = target.rpartition(":")
    if not colon or whole.is_file() or not after.isidentifier():
        return _existing(whole), None
    return _existing(Path(before)), after


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise JobFileFailed(f"{path} is a folder", advice="Name a file: rayflow run jobs/revenue.py")
    if not path.is_file():
        raise JobFileFailed(f"there is no file {path}", advice="Check the path of the job file")
    return path.resolve()


def _import(path: Path) -> ModuleType:
    name, folder = module_name(path)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise JobFileFailed(f"{path.name} is no Python file", advice="Name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        if "." in name:
            importlib.import_module(name.rpartition(".")[0])
        spec.loader.exec_module(module)
    except RayflowError:
        _forget(name, module)
        raise
    except (Exception, SystemExit) as error:
        _forget(name, module)
        raise JobFileFailed(f"{_place(error, path)}: {type(error).__name__}: {error}") from error
    return module


def _forget(name: str, module: ModuleType) -> None:
    if sys.modules.get(name) is module:
        del sys.modules[name]


def _place(error: BaseException, path: Path) -> str:
    """The last line of the job file itself that was executed, as "file.py:12"."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{Path(error.filename).name}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path.name}:{lines[-1]}" if lines else path.name
