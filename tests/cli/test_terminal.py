"""What others wrote, on a terminal and in a pipe."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from click.testing import Result
from rich.console import Console

from rayflow.cli.errors import show_error
from rayflow.cli.jobs.shown import list_table, print_json, print_status
from rayflow.cli.live import line
from rayflow.core.errors import UnknownTopic
from rayflow.core.logging import configure_logging
from rayflow.runtimes.hosting.status import JobStatus, WorkerStatus
from tests.cli.conftest import JOBS

Run = Callable[..., Result]
EVIL = "\x1b]0;owned\x07 \x9b31m \u202e [bold]x[/bold] [/y]"
SAFE = r"\u001b]0;owned\u0007 \u009b31m \u202e [bold]x[/bold] [/y]"


def on_a_terminal(*args: str) -> str:
    """What a command prints where its output is a terminal."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(JOBS.parent)}
    with subprocess.Popen([sys.executable, "-m", "rayflow.cli", *args], stdout=follower, env=environment) as process:
        os.close(follower)
        found = b""
        while True:
            try:
                some = os.read(leader, 1 << 16)
            except OSError:  # Linux: the other side is closed
                break
            if not some:
                break
            found += some
        assert process.wait(timeout=60) == 0
    os.close(leader)
    return found.decode().replace("\r\n", "\n")


def test_records_are_shown_on_a_terminal_and_not_acted_on(rayflow: Run) -> None:
    rayflow("topics", "create", "evil", "--partitions", "1")
    rayflow("topics", "write", "evil", "--text", stdin=f"{EVIL}\n".encode() + b"\x9b2J\xff\n")
    value = on_a_terminal("topics", "read", "evil", "--format", "value")
    assert value == f"{SAFE}\n\\x9b2J\\xff\n"
    assert json.loads(on_a_terminal("topics", "read", "evil", "--max", "1"))["value"] == EVIL
    assert "\x9b" not in on_a_terminal("topics", "read", "evil")


def test_records_are_printed_as_they_are_into_a_pipe_and_with_raw(rayflow: Run) -> None:
    rayflow("topics", "create", "evil", "--partitions", "1")
    rayflow("topics", "write", "evil", "--text", stdin=f"{EVIL}\n".encode())
    stored = f"{EVIL}\n"
    assert rayflow("topics", "read", "evil", "--format", "value").stdout == stored
    assert on_a_terminal("topics", "read", "evil", "--format", "value", "--raw") == stored


def test_names_of_files_are_shown_on_a_terminal_and_not_acted_on(rayflow: Run, own_folder: Path) -> None:
    (own_folder / "a\x1b[2J.csv").write_text("item\npen\n")
    assert rayflow("topics", "list", "--broker", "csv:").stdout == "a\x1b[2J.csv\t1\t-\n"
    assert on_a_terminal("topics", "list", "--broker", "csv:") == "a\\u001b[2J.csv\t1\t-\n"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_errors_and_logs_on_a_terminal_are_not_acted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    show_error(UnknownTopic(f"no {EVIL}", topic=EVIL, advice=f"see {EVIL}"))
    assert terminal.getvalue().count(SAFE) == 3
    before = logging.getLogger().handlers[:]
    try:
        configure_logging("job", json=False)
        try:
            raise ValueError(EVIL)
        except ValueError:
            logging.getLogger("other.library").warning("got %s", EVIL, exc_info=True, extra={"more": EVIL})
    finally:
        logging.getLogger().handlers[:] = before
    told = terminal.getvalue()
    assert told.count(SAFE) == 5  # a field is shown as its `repr`
    assert not {"\x07", "\x9b", "\u202e"} & set(told)


def test_the_status_of_a_job_is_not_acted_on(capsys: pytest.CaptureFixture[str]) -> None:
    worker = WorkerStatus(0, EVIL, EVIL, 1, [EVIL], 0, 0, 0.0, 0.0, 0, 0.0)
    evil = JobStatus(EVIL, cause=EVIL, target=EVIL, broker=EVIL, checkpoints=EVIL, host=EVIL, workers=[worker])
    file = StringIO()
    console = Console(file=file, width=2_000)
    print_status(console, evil)
    console.print(list_table([evil]))
    told = file.getvalue() + line(evil).plain
    assert told.count(SAFE) == 11  # in the status, the list and the live line
    print_json({"cause": EVIL})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"cause": EVIL}
    for text in (told, shown):
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
