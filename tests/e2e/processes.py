"""Running a job file as people do: `rayflow run` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.brokers import Broker
from tests.kafka.client import until

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return lines_of(self.err)

    @property
    def failure(self) -> dict[str, Any]:
        """The line of the error."""
        (line,) = [line for line in self.log if line["level"] == "error"]
        return line


def lines_of(text: str) -> list[dict[str, Any]]:
    """The JSON lines of a log that may still be written."""
    lines = text.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]


class Command:
    """`rayflow ARGUMENTS...` in a process of its own, in `folder`, which also takes what it writes."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        number = len(list(folder.glob("process-*.err")))
        self._out = folder / f"process-{number}.out"
        self._err = folder / f"process-{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rayflow.cli", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            )

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log so far."""
        return lines_of(self._err.read_text())

    def line(self, message: str, seconds: float = 60.0, **fields: Any) -> dict[str, Any]:
        """Wait for a line of the log with this message and these fields."""

        def find() -> dict[str, Any] | None:
            ended = self.process.poll() is not None
            for line in self.log:
                if line["message"] == message and all(line.get(name) == value for name, value in fields.items()):
                    return line
            assert not ended, f"ended with {self.process.returncode}:\n{self._err.read_text()}"
            return None

        return until(find, seconds)  # type: ignore[no-any-return]

    def wait(self, seconds: float = 60.0) -> Ended:
        """Wait for the end."""
        code = self.process.wait(seconds)
        return Ended(code, self._out.read_text(), self._err.read_text())

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()
        self.process.wait(30)


def job_file(folder: Path, text: str, name: str = "job.py") -> Path:
    """Write a job file."""
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def arguments_of(broker: Broker, state: Path, *more: str) -> list[str]:
    """The flags of `rayflow run` for a test's broker; the job file reads `tag`."""
    given = ["--broker", broker.url, "--state", str(state), "--set", "checkpoint_interval=50ms", *more]
    return [*given, "--set", f"tag={broker.tag}"]
