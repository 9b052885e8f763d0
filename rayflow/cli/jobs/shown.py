"""Formats a job's status for people and programs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rayflow.cli.figures import size_text, time_text
from rayflow.cli.terminal import say
from rayflow.core.printable import printable

if TYPE_CHECKING:
    from rayflow.runtimes.hosting.status import JobStatus

STYLES = {"running": "green", "done": "green", "stopped": "dim", "failed": "red bold"}


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(printable(msgspec.json.format(msgspec.json.encode(value), indent=2).decode(), lines=True))


def as_dict(status: JobStatus) -> dict[str, Any]:
    """A status for JSON."""
    return asdict(status)


def state_text(status: JobStatus) -> Text:
    """The state in its colour."""
    return Text(status.state, STYLES.get(status.state, "yellow"))


def list_table(statuses: list[JobStatus]) -> Table:
    """One line per job."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("JOB", "STATE", "RUNTIME"):
        table.add_column(name)
    for name in ("WORKERS", "RECORDS/S", "LAG", "EPOCH", "AGE"):
        table.add_column(name, justify="right")
    for status in statuses:
        table.add_row(
            Text(printable(status.name)),
            state_text(status),
            status.runtime,
            str(len(status.workers)),
            f"{status.rates[0]:,.0f}",
            "-" if status.lag is None else f"{status.lag:,}",
            str(status.epoch),
            age(time.time() - status.since),
        )
    return table


def print_status(console: Console, status: JobStatus) -> None:
    """Print the whole status of a job."""
    head = Table(box=None, show_header=False, pad_edge=False)
    head.add_column(style="dim")
    head.add_column()
    rows: list[tuple[str, str | Text]] = [
        ("job", Text(printable(status.name), "bold")),
        ("state", Text.assemble(state_text(status), f"  {printable(status.cause)}" if status.cause else "")),
        *([("", Text(printable(status.silence), "yellow"))] if status.silence else []),
        ("runtime", status.runtime),
        ("file", status.target or "-"),
        ("broker", status.broker),
        ("checkpoints", status.checkpoints),
        ("coordinator" if status.runtime == "ray" else "process", f"{status.host}, process {status.pid}"),
        ("age", age(time.time() - status.since)),
        ("records", _records(status)),
        ("rate", f"{status.rates[0]:,.0f} records/s in, {status.rates[1]:,.0f} out"),
        ("lag", "unknown" if status.lag is None else f"{status.lag:,} records"),
        ("watermark", "none" if status.watermark is None else time_text(status.watermark)),
        ("checkpoint", _checkpoint(status)),
        ("state rows", f"{status.rows:,}"),
        ("attempts", _attempts(status)),
        ("stages", ", ".join(f"{stage} x {partitions}" for stage, partitions in status.stages.items()) or "-"),
    ]
    for name, text in rows:
        head.add_row(name, Text(printable(text)) if isinstance(text, str) else text)
    console.print(head)
    if status.workers:
        console.print()
        console.print(_workers(status))


def tell_of_silence(status: JobStatus) -> None:
    """Say on standard error that a request has to wait for a silent worker, if there is one."""
    if status.silence:
        say(f"waiting: {status.silence}", err=True)


def _records(status: JobStatus) -> str:
    text = f"{status.records_in:,} in, {status.records_out:,} out, {status.errors:,} failed"
    more = {"late": status.late, "dead letters": status.dead_letters}
    return ", ".join([text, *(f"{count:,} {name}" for name, count in more.items() if count)])


def _checkpoint(status: JobStatus) -> str:
    if not status.epoch:
        return "none yet"
    if not status.committed:
        return f"epoch {status.epoch}, from before this start"
    return f"epoch {status.epoch}, {size_text(status.checkpoint_bytes)}, {age(time.time() - status.committed)} ago"


def _attempts(status: JobStatus) -> str:
    if not status.recoveries:
        return str(status.attempts)
    return f"{status.attempts}, last recovery took {status.recoveries[-1]:.1f} s"


def _workers(status: JobStatus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("WORKER", "HOST", "NODE"):
        table.add_column(name)
    for name in ("PID", "IN", "OUT", "BUSY", "BLOCKED", "MEMORY"):
        table.add_column(name, justify="right")
    table.add_column("TASKS", overflow="fold")
    for worker in status.workers:
        table.add_row(
            str(worker.slot),
            Text(printable(worker.host)),
            Text(printable(worker.node[:8])),
            str(worker.pid),
            f"{worker.records_in:,}",
            f"{worker.records_out:,}",
            f"{worker.busy:.0%}",
            f"{worker.backpressured:.0%}",
            size_text(worker.memory),
            Text(printable(" ".join(worker.tasks))),
        )
    return table


def age(seconds: float) -> str:
    """How long, to two units.

    >>> age(3700)
    '1 h 1 min'
    """
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
