"""Settings of a run: flags, then RAYFLOW_* in the environment, then rayflow.toml, then defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ByteSize, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from rayflow.core.durations import duration_ms
from rayflow.core.errors import InvalidSetting
from rayflow.core.settings_file import find_settings_file, flat, read_settings_file

PREFIX = "RAYFLOW_"


def _milliseconds(value: object) -> object:
    return duration_ms(str(value))


class Settings(BaseSettings):
    """The settings of a run that can be set in rayflow.toml or the environment.

    Attributes:
        broker: `kafka://host:9092` or `embedded:PATH`; default: an embedded log under `state`.
        state: directory for local data; in rayflow.toml relative to that file.
        checkpoints: URI of the checkpoint store, in which each job uses a folder with its name; default: under `state`.
        checkpoint_interval: time between two checkpoints, such as "500ms" or "10s"; default: the job's own.
        retain: number of checkpoints to keep.
        memory_limit: memory for changed state and staged output, such as "256MiB"; at half of it the next checkpoint
            comes early, above it the job reads nothing until the last checkpoint is published.
        max_poll_records: maximum number of records per poll.
        metrics_port: port to serve Prometheus metrics on (0: any free port); default: no metrics.
        metrics_address: address to serve metrics on.
        log_level: "debug", "info", "warning" or "error".
        kafka: settings of librdkafka, such as security.protocol; put secrets into the environment.
        parameters: parameters of the job file, read with `rf.setting`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    broker: str | None = None
    state: Path = Path("rayflow-data")
    checkpoints: str | None = None
    checkpoint_interval: Annotated[int, BeforeValidator(_milliseconds), Field(ge=1)] | None = None
    retain: Annotated[int, Field(ge=1)] = 3
    memory_limit: Annotated[ByteSize, Field(ge=1 << 20)] = ByteSize(256 << 20)
    max_poll_records: Annotated[int, Field(ge=1)] = 10_000
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    metrics_address: str = "127.0.0.1"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    kafka: Annotated[dict[str, str], BeforeValidator(flat)] = Field(default_factory=dict, repr=False)
    parameters: dict[str, Any] = Field(default_factory=dict)


class _Prefixed(PydanticBaseSettingsSource):
    """A table from the environment: RAYFLOW_KAFKA_SASL_USERNAME is `sasl.username` of `kafka`."""

    def __init__(self, settings: type[BaseSettings], table: str, prefix: str, rename: Callable[[str], str]) -> None:
        super().__init__(settings)
        self._table = table
        self._prefix = prefix
        self._rename = rename

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        size = len(self._prefix)
        found = {
            self._rename(name[size:].lower()): value
            for name, value in os.environ.items()
            if value and name.startswith(self._prefix) and len(name) > size
        }
        return {self._table: found} if found else {}


def load_settings(
    flags: Mapping[str, Any] | None = None, sets: Mapping[str, str] | None = None, start: Path | None = None
) -> Settings:
    """Settings from all sources.

    Args:
        flags: the flags that the user gave, by setting.
        sets: the values of `--set`: a setting, `kafka.NAME`, or a parameter of the job file.
        start: where the search for rayflow.toml begins; None: the working directory.

    Raises InvalidSetting, which names the source.
    """
    _refuse_misspelt()
    file = find_settings_file(start)
    in_file = read_settings_file(file) if file else {}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    given.update(_sorted_out(sets or {}))

    class _Found(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                init_settings,
                _Prefixed(cls, "kafka", f"{PREFIX}KAFKA_", lambda name: name.replace("_", ".")),
                _Prefixed(cls, "parameters", f"{PREFIX}SET_", str),
                env_settings,
                InitSettingsSource(cls, in_file),
            )

    try:
        settings = _Found(**given)
    except ValidationError as error:
        raise _explain(error, flags or {}, sets or {}, file) from None
    if file is not None and "state" not in given and not os.environ.get(f"{PREFIX}STATE"):
        from_file = "state" in settings.model_fields_set
        return settings.model_copy(update={"state": file.parent / settings.state}) if from_file else settings
    return settings


def _refuse_misspelt() -> None:
    """Refuse a variable whose name is nearly that of a setting. Others with our prefix may belong to another
    program."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name, value in os.environ.items():
        if (
            not value
            or name in known
            or not name.startswith(PREFIX)
            or name.startswith((f"{PREFIX}KAFKA_", f"{PREFIX}SET_"))
        ):
            continue
        if close := get_close_matches(name, known, n=1, cutoff=0.9):
            raise InvalidSetting(f"unknown setting {name}", advice=f"Did you mean {close[0]}?")


def _sorted_out(sets: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in sets.items():
        name = key.replace("-", "_")
        if key.startswith("kafka."):
            given.setdefault("kafka", {})[key.removeprefix("kafka.")] = value
        elif name in Settings.model_fields and name not in ("kafka", "parameters"):
            given[name] = value
        else:
            given.setdefault("parameters", {})[key] = value
    return given


def _explain(
    error: ValidationError, flags: Mapping[str, Any], sets: Mapping[str, str], file: Path | None
) -> InvalidSetting:
    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0])
    if flags.get(name) is not None:
        source = f"--{name.replace('_', '-')}"
    elif name in (key.replace("-", "_") for key in sets):
        source = f"--set {name}"
    elif f"{PREFIX}{name.upper()}" in os.environ:
        source = f"{PREFIX}{name.upper()}"
    else:
        source = f"{name} in {file}"
    if first["type"] == "extra_forbidden":
        close = get_close_matches(name, Settings.model_fields)
        advice = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(Settings.model_fields)}"
        return InvalidSetting(f"unknown setting {source}", advice=advice)
    return InvalidSetting(f"{source}: {first['msg'].removeprefix('Value error, ')}")
