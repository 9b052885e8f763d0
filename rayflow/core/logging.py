"""Logs: structlog on top of the standard library's logging; JSON lines unless standard error is a terminal.

Modules call `get_logger("rayflow.x")`. A program that only imports rayflow gets ordinary logging records, and
configures logging itself; the command line calls `configure_logging`.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from rayflow.core.errors import RayflowError
from rayflow.core.printable import printable

if TYPE_CHECKING:
    _TextHandler = logging.StreamHandler[TextIO]
else:
    _TextHandler = logging.StreamHandler  # has no type parameter at run time before Python 3.11


class _Event(dict[str, Any]):
    """An event inside of `logging`; it is text for handlers that do not know structlog."""

    def __str__(self) -> str:
        fields = " ".join(f"{name}={value}" for name, value in self.items() if name not in ("event", "level"))
        return f"{self['event']} {fields}" if fields else str(self["event"])


def _into_logging(logger: WrappedLogger, name: str, event: EventDict) -> tuple[tuple[_Event], dict[str, Any]]:
    return (_Event(event),), {"extra": {"_logger": logger, "_name": name}}


_LOGGER_PROCESSORS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    cast(Processor, _into_logging),
]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose methods take an event and fields: `log.info("checkpoint complete", epoch=3, bytes=1024)`.

    Fields never hold a record's key or value, or a secret.
    """
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=_LOGGER_PROCESSORS,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return cast(structlog.stdlib.BoundLogger, logger)


class _CurrentStderr(_TextHandler):
    """Writes to the current `sys.stderr`: a live display on the terminal replaces it for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure_logging(
    job: str | None = None,
    *,
    json: bool | None = None,
    level: str = "info",
    also: logging.Handler | None = None,
    only_also: str | None = None,
) -> None:
    """Send all logs, including those of other libraries, to standard error. Calling it again replaces the settings.

    Args:
        job: added to every line as `job`.
        json: one JSON object per line (`timestamp` in ISO 8601 UTC, `level`, `message`, `logger`, then the event's
            fields);
        None: unless standard error is a terminal.
        level: "debug", "info", "warning" or "error".
        also: a second handler, which gets every line as JSON. only_also: a logger whose lines go to `also` alone.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    formatter = _formatter(job, json=as_json)
    handler = _CurrentStderr()
    handler.setFormatter(formatter)
    if only_also is not None:
        handler.addFilter(lambda record: record.name != only_also)
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, _CurrentStderr)]:
        root.removeHandler(old)
    root.addHandler(handler)
    if also is not None:
        also.setFormatter(formatter if as_json else _formatter(job, json=True))
        root.addHandler(also)
    root.setLevel(logging.WARNING)
    logging.getLogger("rayflow").setLevel(level.upper())


def _formatter(job: str | None, *, json: bool) -> logging.Formatter:
    def add_job(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        if job is not None:
            event.setdefault("job", job)
        return event

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if json else "%H:%M:%S", utc=json),
        add_job,
    ]
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if json:
        rendering += [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            _ordered,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        rendering += [
            structlog.processors.format_exc_info,
            _printable,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    return structlog.stdlib.ProcessorFormatter(
        # Records of other libraries have no structlog fields yet; ours get the same ones just before rendering.
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[*shared, *rendering],
    )


def _printable(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Texts without what a terminal would act on; other libraries log what a broker or a user has sent."""
    return {name: printable(value, lines=True) if isinstance(value, str) else value for name, value in event.items()}


def _ordered(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    first = ("timestamp", "level", "message", "job", "logger")
    return {name: event[name] for name in (*first, *event) if name in event}


def error_fields(error: RayflowError) -> dict[str, str | int]:
    """An error's code, place and advice as fields of a log line."""
    fields: dict[str, str | int] = {"code": error.code, **error.where}
    if error.advice:
        fields["advice"] = error.advice
    return fields
