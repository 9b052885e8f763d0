"""Reads rayflow.toml. A file is content of others until its owner is known, and even then it never runs anything."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayflow.core.errors import InvalidSetting

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "rayflow.toml"
TRUSTED = "RAYFLOW_TRUSTED_FILE"
"""The environment variable that names one file of another owner to be read all the same."""

_RUNS_CODE = frozenset(
    {
        "plugin.library.paths",
        "sasl.kerberos.kinit.cmd",
        "ssl.engine.id",
        "ssl.engine.location",
        "ssl.providers",
    }
)
"""Settings of librdkafka that load a library or run a command."""
_IN_COMMAND = re.compile(r"sasl\.kerberos\..*")
"""Settings that librdkafka pastes into the shell command of sasl.kerberos.kinit.cmd."""
_PLAIN = re.compile(r"[\w ./:@%+,=-]*")


def find_settings_file(start: Path | None = None) -> Path | None:
    """The nearest rayflow.toml at `start` (the working directory) or above it."""
    at = (start or Path.cwd()).resolve()
    return next((folder / FILE_NAME for folder in (at, *at.parents) if (folder / FILE_NAME).is_file()), None)


def read_settings_file(file: Path) -> dict[str, Any]:
    """The content of a rayflow.toml.

    Raises InvalidSetting for a file of another owner, one that is not TOML, and one with a Kafka setting that loads
    code or runs a command: whoever clones a repository does not expect `rayflow topics list` in it to do so.
    """
    refuse_other_owner(file)
    with file.open("rb") as opened:
        refuse_other_owner(file, os.fstat(opened.fileno()))  # what was opened may be newer than what was looked at
        text = opened.read()
    try:
        found = tomllib.loads(text.decode())
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise InvalidSetting(f"{file} is not TOML: {error}") from None
    _refuse_code(found.get("kafka"), file)
    return found


def refuse_other_owner(file: Path, found: os.stat_result | None = None) -> None:
    """Raise InvalidSetting if neither the user nor root owns the file (and the link, if it is one), as git does for a
    repository. With sudo, the files of the user who called it are accepted.

    Args:
        found: what `stat` says of the open file; None: look at the path.
    """
    if os.environ.get(TRUSTED) and Path(os.environ[TRUSTED]).absolute() == file.absolute():
        return
    owners = {0, os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        owners.add(int(os.environ["SUDO_UID"]))
    for seen in [found] if found is not None else [file.lstat(), file.stat()]:
        if seen.st_uid not in owners:
            kind = "link" if stat.S_ISLNK(seen.st_mode) else "file"
            raise InvalidSetting(
                f"{file} is a {kind} of another user (id {seen.st_uid}), and is found from here",
                advice=f"If you trust it, set {TRUSTED}={file}, or make it yours (chown). "
                "Otherwise use another directory, which has none above it",
            )


def flat(value: object) -> object:
    """[kafka] may contain `sasl.username = "x"`, which TOML reads as nested tables; librdkafka's names have dots."""
    if not isinstance(value, Mapping):
        return value
    names: dict[str, object] = {}
    for name, inner in value.items():
        nested = flat(inner)
        if isinstance(nested, dict):
            names.update({f"{name}.{rest}": text for rest, text in nested.items()})
        else:
            names[name] = str(nested).lower() if isinstance(nested, bool) else str(nested)
    return names


def _refuse_code(kafka: object, file: Path) -> None:
    settings = flat(kafka)
    if not isinstance(settings, dict):
        return  # refused later, as not a table
    for name, value in settings.items():
        if name in _RUNS_CODE or (_IN_COMMAND.fullmatch(name) and not _PLAIN.fullmatch(value)):
            variable = f"RAYFLOW_KAFKA_{name.upper().replace('.', '_')}"
            raise InvalidSetting(
                f"kafka.{name} in {file} is refused: this setting loads code or runs a command",
                advice=f"If you want it, set it outside of a file: {variable}, --set kafka.{name}=, or config=",
            )
