"""Parameters of a job file: `rf.setting("limit", 1000.0)`, given by `--set limit=500` or in rayflow.toml."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeAlias, TypeVar, cast, overload

from rayflow.core.durations import duration_ms
from rayflow.core.errors import InvalidSetting

Parameter: TypeAlias = str | bool | int | float | timedelta
P = TypeVar("P", str, bool, int, float, timedelta)

_given: dict[str, object] = {}
_read: set[str] = set()


@overload
def setting(name: str, default: None) -> str | None: ...


@overload
def setting(name: str, default: P) -> P: ...


def setting(name: str, default: Parameter | None) -> Parameter | None:
    """The job's parameter of that name, of the default's type; the default when it is not given.

    A `timedelta` is written with its unit ("500ms", "2m"), a bool as true or false. Raises InvalidSetting when what is
    given is not of the type.

    >>> setting("limit", 1000.0)
    1000.0
    >>> provide({"limit": "500"})
    >>> setting("limit", 1000.0)
    500.0
    >>> provide({})
    """
    _read.add(name)
    if name not in _given:
        return default
    try:
        return _as_type_of(default, _given[name])
    except ValueError as error:
        wanted = type(default).__name__
        raise InvalidSetting(
            f"parameter {name} is not a {wanted}: {error}",
            advice=f"Correct {name} where it is set: --set, RAYFLOW_SET_{name.upper()} or [parameters] in rayflow.toml",
        ) from None


def _as_type_of(default: Parameter | None, given: object) -> Parameter:
    if isinstance(default, bool):
        if isinstance(given, bool):
            return given
        if str(given).lower() not in ("true", "false"):
            raise ValueError("say true or false")
        return str(given).lower() == "true"
    if isinstance(default, timedelta):
        return timedelta(milliseconds=duration_ms(str(given)))
    if default is None or isinstance(default, str):
        return str(given)
    try:
        return type(default)(cast(str, given))
    except ValueError:
        raise ValueError("it cannot be read as one") from None


def provide(parameters: Mapping[str, object]) -> None:
    """Set this process's parameters, before the job file is loaded. Replaces earlier ones."""
    _given.clear()
    _given.update(parameters)
    _read.clear()


def unread() -> list[str]:
    """Names of provided parameters that no job file has read."""
    return sorted(_given.keys() - _read)
