"""The progress of `rayflow run`: a live status line on a terminal, JSON log lines elsewhere."""

from __future__ import annotations

import sys
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rayflow.cli.figures import size_text, time_text
from rayflow.core.ids import WATERMARK_MAX
from rayflow.core.logging import get_logger
from rayflow.core.printable import printable
from rayflow.runtimes.hosting.status import JobStatus

LOG_EVERY = 10.0
"""Seconds between two progress lines in the log."""
_STYLES = {"running": "green", "done": "green", "stopped": "green", "waiting": "yellow", "stopping": "yellow"}
_LOGGED = (
    "state",
    "cause",
    "records_in",
    "records_out",
    "errors",
    "late",
    "dead_letters",
    "lag",
    "watermark",
    "epoch",
    "epoch_ms",
    "checkpoint_bytes",
    "elapsed",
)
"""The status fields in a log line."""


class View(Protocol):
    """Shows a run: `start`, `show` a few times a second, always `stop`, and `finish` if the job succeeded.

    `asked_to_stop` is called from a signal handler.
    """

    def start(self) -> None: ...

    def show(self, status: JobStatus) -> None: ...

    def asked_to_stop(self) -> None: ...

    def stop(self) -> None: ...

    def finish(self, status: JobStatus) -> None: ...


JOURNAL = "rayflow.run.journal"
"""The logger of the progress lines of a run on a terminal. The terminal has the live line instead."""


def new_view(*, journal: bool = False) -> View:
    """A live status line on a terminal, else progress log lines. `journal`: on a terminal, log them as well, to
    JOURNAL."""
    if not sys.stderr.isatty():
        return ProgressLog()
    live = LiveLine(Console(stderr=True, highlight=False))
    return Both(live, ProgressLog(JOURNAL)) if journal else live


class Both:
    """Shows a run in several views."""

    def __init__(self, *views: View) -> None:
        self._views = views

    def start(self) -> None:
        for view in self._views:
            view.start()

    def show(self, status: JobStatus) -> None:
        for view in self._views:
            view.show(status)

    def asked_to_stop(self) -> None:
        for view in self._views:
            view.asked_to_stop()

    def stop(self) -> None:
        for view in self._views:
            view.stop()

    def finish(self, status: JobStatus) -> None:
        for view in self._views:
            view.finish(status)


class LiveLine:
    """One terminal line, redrawn at each progress report."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._asked = False
        # No refresh thread: a second busy thread in the process would slow every LMDB call of the job.
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=console.file.isatty())

    def start(self) -> None:
        self._live.start()

    def show(self, status: JobStatus) -> None:
        self._live.update(line(status, asked=self._asked), refresh=True)

    def asked_to_stop(self) -> None:
        self._asked = True

    def stop(self) -> None:
        self._live.stop()

    def finish(self, status: JobStatus) -> None:
        rate = status.records_in / status.elapsed if status.elapsed > 0 else 0.0
        records = "record" if status.records_in == 1 else "records"
        self._console.print(
            Text.assemble(
                (printable(status.name), "bold"),
                (f" {status.state}", "green"),
                f" in {status.elapsed:.1f} s: {status.records_in:,} {records} in, {status.records_out:,} out, "
                f"{rate:,.0f} records/s, epoch {status.epoch}",
                (f", {status.late:,} late", "yellow") if status.late else "",
                (f", {status.dead_letters:,} dead letters", "yellow") if status.dead_letters else "",
                (f", {status.errors:,} failed", "red") if status.errors else "",
            )
        )


class ProgressLog:
    """A log line every ten seconds, at each change of state, and at the end unless the job has failed."""

    def __init__(self, logger: str = "rayflow.run") -> None:
        self._log = get_logger(logger)
        self._state = ""
        self._due = LOG_EVERY

    def start(self) -> None:
        """Nothing to prepare."""

    def show(self, status: JobStatus) -> None:
        if status.ended:
            self._end(status)
            return
        if status.state == self._state and status.elapsed < self._due:
            return
        self._due = status.elapsed + LOG_EVERY
        self._state = status.state
        self._log.info("progress", **_fields(status, status.rates[0]))

    def asked_to_stop(self) -> None:
        """Nothing to do: the next progress line shows the state."""

    def stop(self) -> None:
        """Nothing to take down."""

    def finish(self, status: JobStatus) -> None:
        """Nothing to do: the last `show` has logged the end, while the run still answered `rayflow logs`."""

    def _end(self, status: JobStatus) -> None:
        if status.state != "failed":  # whoever started the run logs the error
            rate = status.records_in / status.elapsed if status.elapsed > 0 else 0.0
            self._log.info(f"job {status.state}", **_fields(status, rate))


def _fields(status: JobStatus, rate: float) -> dict[str, object]:
    """The fields of a log line; durations to a thousandth."""
    fields = {name: getattr(status, name) for name in _LOGGED}
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in fields.items()}
    return {**rounded, "records_per_second": round(rate)}


def line(status: JobStatus, *, asked: bool = False) -> Text:
    """The live line: state, rate, counts, lag, epoch, checkpoint size, event time, problems. `asked`: Ctrl-C was
    pressed."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(printable(status.name), "bold")
    text.append(f" {status.state}", _STYLES.get(status.state, "cyan"))
    if status.cause:
        text.append(f" ({printable(status.cause)})", "yellow")
    if asked and not status.ended:
        text.append("  stopping after a final checkpoint; press Ctrl-C again to exit now", "yellow")
    text.append(f"  {status.rates[0]:,.0f} records/s", "bold")
    text.append(f"  in {status.records_in:,}  out {status.records_out:,}")
    if status.lag is not None:
        text.append(f"  lag {status.lag:,}")
    if status.epoch:
        text.append(f"  epoch {status.epoch}")
        if status.epoch_ms:  # otherwise the job has only resumed from this epoch
            text.append(f" ({status.epoch_ms:.0f} ms, {size_text(status.checkpoint_bytes)})")
    if status.watermark is not None and status.watermark < WATERMARK_MAX:
        text.append(f"  time {time_text(status.watermark)}", "dim")
    if status.late:
        text.append(f"  late {status.late:,}", "yellow")
    if status.dead_letters:
        text.append(f"  dead letters {status.dead_letters:,}", "yellow")
    if status.errors:
        text.append(f"  errors {status.errors:,}", "red")
    return text
