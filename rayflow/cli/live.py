"""The progress of `rayflow run`: a live status line on a terminal, JSON log lines elsewhere."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rayflow.cli.figures import size_text, time_text
from rayflow.core.ids import WATERMARK_MAX
from rayflow.core.logging import get_logger
from rayflow.runtimes.hosting.options import Progress

LOG_EVERY = 10.0
"""Seconds between two progress lines in the log."""
RATE_OVER = 3.0
"""Seconds over which the rate is averaged."""

_STYLES = {"running": "green", "done": "green", "waiting": "yellow", "stopping": "yellow"}


class View(Protocol):
    """Shows a run: `start`, `show` a few times a second, always `stop`, and `finish` if the job succeeded.

    `asked_to_stop` is called from a signal handler.
    """

    def start(self) -> None: ...

    def show(self, progress: Progress) -> None: ...

    def asked_to_stop(self) -> None: ...

    def stop(self) -> None: ...

    def finish(self, progress: Progress) -> None: ...


class Rate:
    """Records per second over the last few seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def __call__(self, progress: Progress) -> float:
        self._points.append((progress.elapsed, progress.records_in))
        while len(self._points) > 2 and progress.elapsed - self._points[1][0] >= RATE_OVER:
            self._points.popleft()
        since, records = self._points[0]
        spent = progress.elapsed - since
        return (progress.records_in - records) / spent if spent > 0 else 0.0


class LiveLine:
    """One terminal line, redrawn at each progress report."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rate = Rate()
        self._asked = False
        # No refresh thread: a second busy thread in the process would slow every LMDB call of the job.
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=console.file.isatty())

    def start(self) -> None:
        self._live.start()

    def show(self, progress: Progress) -> None:
        self._live.update(line(progress, self._rate(progress), asked=self._asked), refresh=True)

    def asked_to_stop(self) -> None:
        self._asked = True

    def stop(self) -> None:
        self._live.stop()

    def finish(self, progress: Progress) -> None:
        rate = progress.records_in / progress.elapsed if progress.elapsed > 0 else 0.0
        records = "record" if progress.records_in == 1 else "records"
        self._console.print(
            Text.assemble(
                (progress.job, "bold"),
                (" done", "green"),
                f" in {progress.elapsed:.1f} s: {progress.records_in:,} {records} in, {progress.records_out:,} out, "
                f"{rate:,.0f} records/s, epoch {progress.epoch}",
                (f", {progress.errors:,} failed", "red") if progress.errors else "",
            )
        )


class ProgressLog:
    """A log line every ten seconds, at each change of state, and at the end."""

    def __init__(self) -> None:
        self._log = get_logger("rayflow.run")
        self._rate = Rate()
        self._state = ""
        self._due = LOG_EVERY

    def start(self) -> None:
        """Nothing to prepare."""

    def show(self, progress: Progress) -> None:
        rate = self._rate(progress)
        if progress.state == "done" or (progress.state == self._state and progress.elapsed < self._due):
            return
        self._due = progress.elapsed + LOG_EVERY
        self._state = progress.state
        self._log.info("progress", **_fields(progress, rate))

    def asked_to_stop(self) -> None:
        """Nothing to do: the next progress line shows the state."""

    def stop(self) -> None:
        """Nothing to take down."""

    def finish(self, progress: Progress) -> None:
        rate = progress.records_in / progress.elapsed if progress.elapsed > 0 else 0.0
        self._log.info("job done", **_fields(progress, rate))


def _fields(progress: Progress, rate: float) -> dict[str, object]:
    """The fields of a log line; durations to a thousandth."""
    fields = {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(progress).items()}
    return {**fields, "records_per_second": round(rate)}


def line(progress: Progress, rate: float, *, asked: bool = False) -> Text:
    """The live line: state, rate, counts, lag, epoch, checkpoint size, event time; `asked`: Ctrl-C was pressed."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(progress.job, "bold")
    text.append(f" {progress.state}", _STYLES.get(progress.state, "cyan"))
    if progress.detail:
        text.append(f" ({progress.detail})", "yellow")
    if asked and progress.state != "done":
        text.append("  stopping after a final checkpoint; press Ctrl-C again to exit now", "yellow")
    text.append(f"  {rate:,.0f} records/s", "bold")
    text.append(f"  in {progress.records_in:,}  out {progress.records_out:,}")
    if progress.lag is not None:
        text.append(f"  lag {progress.lag:,}")
    if progress.epoch:
        text.append(f"  epoch {progress.epoch}")
        if progress.checkpoint_bytes:  # else it is the epoch that the job resumed from
            text.append(f" ({progress.epoch_ms:.0f} ms, {size_text(progress.checkpoint_bytes)})")
    if progress.watermark is not None and progress.watermark < WATERMARK_MAX:
        text.append(f"  time {time_text(progress.watermark)}", "dim")
    if progress.errors:
        text.append(f"  errors {progress.errors:,}", "red")
    return text
