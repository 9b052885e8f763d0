"""Options that several commands share, and the settings and connectors built from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rayflow.connectors.base import Connector
    from rayflow.core.settings import Settings
    from rayflow.core.topics import ConnectorSpec
    from rayflow.engine.recovery import LostMarker
    from rayflow.runtimes.hosting.options import RunOptions

F = TypeVar("F", bound=Callable[..., Any])


def _pairs(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        pairs[key.strip()] = value
    return pairs


def _lost_marker(_ctx: click.Context, _param: click.Parameter, given: str | None) -> LostMarker | None:
    """The value of --lost-marker: what to do, and about which epoch."""
    if given is None:
        return None
    from rayflow.engine.recovery import LostMarker

    choice, _, epoch = given.partition("@")
    if choice not in ("republish", "skip") or not epoch.isdigit():
        raise click.BadParameter(f"{given!r} is not republish@EPOCH or skip@EPOCH; the error names the epoch")
    return LostMarker("republish" if choice == "republish" else "skip", int(epoch))


def finite(_ctx: click.Context, _param: click.Parameter, given: float) -> float:
    """A callback for options that are a number of seconds or CPUs: NaN passes every comparison, and is refused."""
    if not 0 <= given < float("inf"):
        raise click.BadParameter(f"{given} is not a finite number, or it is negative")
    return given


def state_option(command: F) -> F:
    """--state DIR."""
    help_text = "Directory for local data: state, checkpoints, the embedded log.  [default: rayflow-data]"
    return click.option("--state", metavar="DIR", help=help_text)(command)


def place_options(command: F) -> F:
    """--broker URL and --state DIR."""
    command = state_option(command)
    return click.option(
        "--broker",
        metavar="URL",
        help="Broker: kafka://host:9092 or embedded:PATH.  [default: an embedded log in the state directory]",
    )(command)


def set_option(command: F) -> F:
    """--set KEY=VALUE, repeatable."""
    return click.option(
        "--set",
        "sets",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_pairs,
        help="Set a setting, a Kafka client setting (kafka.NAME) or a parameter read by rf.setting(). Repeatable.",
    )(command)


def checkpoints_option(command: F) -> F:
    """--checkpoints URI."""
    return click.option(
        "--checkpoints",
        metavar="URI",
        help="Checkpoint store: file:, s3:, gs: or az:. Each job uses a folder with its name.  "
        "[default: the state directory]",
    )(command)


def _with_until_end(ctx: click.Context, param: click.Parameter, keep_open: bool) -> bool:
    if keep_open and not ctx.params.get("until_end"):
        raise click.UsageError("--keep-open needs --until-end: without it, a run ends when it is stopped")
    return keep_open


def start_options(command: F) -> F:
    """Where the broker and the job's data are, and how a run starts from its checkpoints: `run` and `submit`."""
    for option in reversed(
        (
            place_options,
            checkpoints_option,
            click.option(
                "--until-end",
                is_flag=True,
                is_eager=True,
                help="Process the records that are in the topics now, then stop.",
            ),
            click.option(
                "--keep-open",
                is_flag=True,
                callback=_with_until_end,
                help="With --until-end: leave open windows and timers to the next run.",
            ),
            click.option("--from-savepoint", metavar="URI", help="Start from a savepoint."),
            click.option("--from-checkpoint", metavar="N", type=int, help="Start from the checkpoint of epoch N."),
            click.option(
                "--drop-state", is_flag=True, help="Discard the state of operators that were removed or changed."
            ),
            click.option(
                "--allow-new-partitions", is_flag=True, help="Accept more partitions in a topic that keys state."
            ),
            click.option(
                "--new-lineage",
                is_flag=True,
                help="With no checkpoint: start over even if the job has published before (RF-3012).",
            ),
            click.option(
                "--lost-marker",
                metavar="republish@EPOCH|skip@EPOCH",
                callback=_lost_marker,
                help="Publish or skip the epoch whose marker the broker lost (RF-3005).",
            ),
            set_option,
        )
    ):
        command = option(command)
    return command


def settings_of(flags: dict[str, Any], sets: dict[str, str] | None = None) -> Settings:
    """Settings from flags (by setting; None when not given), --set, environment and rayflow.toml; logging follows.

    The job file's parameters are provided as well. Raises InvalidSetting.
    """
    from rayflow.core.parameters import provide
    from rayflow.core.settings import load_settings

    settings = load_settings(flags, sets)
    provide(settings.parameters)
    return settings


def broker_of(settings: Settings) -> ConnectorSpec:
    """The broker of the run. Raises InvalidConnector for one that is not known."""
    from rayflow.connectors.registry import kind_of
    from rayflow.core.topics import ConnectorSpec

    if settings.broker is None:
        return ConnectorSpec(f"embedded:{settings.state / 'log'}")
    table = kind_of(settings.broker).settings
    config: Mapping[str, str] = getattr(settings, table) if table else {}
    return ConnectorSpec(settings.broker, tuple(sorted(config.items())))


def connector_of(settings: Settings) -> Connector:
    """The broker of the run, ready to use. Raises InvalidConnector."""
    from rayflow.connectors.registry import open_connector

    return open_connector(broker_of(settings))


def run_options(settings: Settings, job: str, **only: Any) -> RunOptions:
    """The options of a job's run, from settings and from flags that are not settings."""
    from rayflow.checkpoint.open import uri_of_job
    from rayflow.runtimes.hosting.options import RunOptions

    return RunOptions(
        broker=settings.broker,
        broker_config=dict(broker_of(settings).config),
        state=settings.state,
        checkpoints=None if settings.checkpoints is None else uri_of_job(settings.checkpoints, job),
        checkpoint_interval=settings.checkpoint_interval,
        retain=settings.retain,
        memory_limit=int(settings.memory_limit),
        max_poll_records=settings.max_poll_records,
        **only,
    )
