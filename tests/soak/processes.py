"""The processes of a soak: the job as a user starts it, and the load."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from tests.e2e.processes import ROOT, Command
from tests.kafka.supervisor import die_with_parent
from tests.soak.job import job as definition
from tests.soak.load import Orders, Written
from tests.soak.wrong import Wrong

JOB_FILE = Path(__file__).with_name("job.py")
END = 120.0
"""Seconds that a process gets to end."""


class Job:
    """`rayflow run FILE` on one of two state directories, which share the checkpoints.

    Attributes:
        side: which state directory. started: when (monotonic).
    """

    def __init__(self, file: Path, folder: Path, broker: str, interval: int, side: int, *more: str) -> None:
        self.side = side
        self._folder = folder
        self._checkpoints = f"file:{folder / 'checkpoints'}"
        self.started = time.monotonic()
        self.command = Command(
            folder,
            *("run", str(file), "--broker", broker, "--state", str(folder / f"state-{side}")),
            *("--checkpoints", self._checkpoints, "--set", f"checkpoint_interval={interval}ms", *more),
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self.command.process.pid

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    def check(self) -> None:
        """Raises Wrong when it has ended."""
        code = self.command.process.poll()
        if code is not None:
            raise Wrong(f"the job ended by itself with {code}:\n{self.command.wait().err[-3000:]}")

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.check()
        self.command.kill()

    def stop(self) -> None:
        """End it by SIGTERM; raises Wrong unless it then ends well."""
        self.check()
        self.command.process.terminate()
        self.expect(0)

    def freeze(self) -> None:
        """Have it hang until `thaw`."""
        self.check()
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def expect(self, exit_code: int, error_code: str | None = None) -> None:
        """Wait for the end, which has to be this one. Raises Wrong."""
        try:
            ended = self.command.wait(END)
        except subprocess.TimeoutExpired:
            raise Wrong(f"process {self.pid} has not ended within {END:.0f} s") from None
        found = next((line.get("code") for line in ended.log if line["level"] == "error"), None)
        if (ended.code, found) != (exit_code, error_code):
            raise Wrong(f"the job ended with {ended.code}, not {exit_code} {error_code or ''}:\n{ended.err[-3000:]}")

    def verify_checkpoints(self) -> None:
        """Check every byte of the checkpoints, by `rayflow checkpoints verify`. Raises Wrong."""
        ended = Command(
            self._folder, "checkpoints", definition.name, "verify", "--checkpoints", self._checkpoints
        ).wait(END)
        if ended.code:
            raise Wrong(f"the checkpoints are not sound:\n{ended.out[-3000:]}{ended.err[-1000:]}")

    def close(self) -> None:
        """End it in any case."""
        if self.command.process.poll() is None:
            self.command.kill()


class LoadProcess:
    """`python -m tests.soak.load` until `finish`."""

    def __init__(self, folder: Path, orders: Orders) -> None:
        self._log = folder / "load.err"
        with self._log.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.load", msgspec.json.encode(orders).decode()],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                preexec_fn=die_with_parent,
            )

    def check(self) -> None:
        """Raises RuntimeError when it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the load ended with {self.process.returncode}:\n{self._log.read_text()[-3000:]}")

    def rise_and_fall(self) -> None:
        """Have it write at an even rate no more."""
        self.check()
        self.process.send_signal(signal.SIGUSR1)

    def finish(self) -> Written:
        """Have it write the last visits and end; what it has written."""
        self.check()
        self.process.terminate()
        out, _ = self.process.communicate(timeout=330)
        if self.process.returncode:
            self.check()
        return msgspec.json.decode(out, type=Written)

    def close(self) -> None:
        """End it in any case."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
