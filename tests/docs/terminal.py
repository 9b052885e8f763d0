"""What a person sees of a command: a shell on a pseudo-terminal, whose screen is kept as lines."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

PATIENCE = 120.0
"""Seconds that a command may take."""

_CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[()][A-Z0-9]|([\r\n\b])")


class Screen:
    """Lines of text from what a program writes: carriage returns, cursor up and erased lines as Rich uses them."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = 0
        self._column = 0

    def write(self, text: str) -> None:
        """Take what the program wrote; a control sequence must not be cut in two."""
        at = 0
        for match in _CONTROL.finditer(text):
            self._put(text[at : match.start()])
            at = match.end()
            if match[3] == "\r":
                self._column = 0
            elif match[3] == "\n":
                self._row += 1
                self._column = 0
                if self._row == len(self.lines):
                    self.lines.append("")
            elif match[2] == "A":
                self._row = max(0, self._row - int(match[1] or 1))
            elif match[2] == "K":
                self.lines[self._row] = "" if match[1] == "2" else self.lines[self._row][: self._column]
        self._put(text[at:])

    def _put(self, text: str) -> None:
        if text:
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
            self._column += len(text)


class Shell:
    """One bash for all commands of a page. `close` ends it and whatever it has started."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=inner,
            stderr=inner,
            cwd=folder,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(inner)
        self._count = 0

    def run(self, command: str, interrupt_at: str | None = None) -> tuple[int, list[str]]:
        """The exit code of a command and the lines that it shows. `interrupt_at`: text at which Ctrl-C is pressed."""
        self._count += 1
        sentinel = f"<done {self._count}:"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{{ {command}\n}} < /dev/null\nprintf '\\n{sentinel}%d>' $?\n".encode())
        self._process.stdin.flush()
        seen = ""
        until = time.monotonic() + PATIENCE
        while not (end := re.search(re.escape(sentinel) + r"(\d+)>", seen)):
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"{command!r} did not end. It showed: {seen[-2_000:]}")
            seen += os.read(self._terminal, 65_536).decode(errors="replace")
            if interrupt_at is not None and interrupt_at in seen:
                interrupt_at = None
                os.killpg(self._process.pid, signal.SIGINT)
        screen = Screen()
        screen.write(seen[: end.start()])
        lines = [line.rstrip() for line in screen.lines]
        while lines and not lines[-1]:
            lines.pop()
        return int(end[1]), lines

    def close(self) -> None:
        """End everything."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._terminal)
