"""The group of all commands, its exit codes, and how errors are shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import Result

from rayflow.cli import errors
from rayflow.cli.root import COMMANDS, cli
from rayflow.core.errors import BrokerUnavailable, InvalidSetting, UserFunctionFailed
from rayflow.version import __version__
from tests.cli.conftest import log_lines

Run = Callable[..., Result]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Makes `rayflow fail` raise an error."""

    def make(error: Exception) -> None:
        @click.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "get_command", lambda _ctx, _name: fail)

    return make


def test_help_names_every_command_with_its_line(rayflow: Run) -> None:
    result = rayflow("--help")
    assert result.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert name in result.output
        assert line in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(command: str, rayflow: Run) -> None:
    result = rayflow(command, "--help")
    assert (result.exit_code, result.output.splitlines()[0].split()[:3]) == (0, ["Usage:", "rayflow", command])


def test_the_version_is_that_of_the_package(rayflow: Run) -> None:
    assert rayflow("--version").output == f"rayflow {__version__}\n"


def test_help_imports_no_command() -> None:
    code = (
        "import sys\nfrom rayflow.cli.root import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = ('rayflow.cli.run', 'rayflow.runtimes', 'rayflow.engine', 'rich', 'structlog', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_an_unknown_command_is_a_usage_error(rayflow: Run) -> None:
    result = rayflow("rnu")
    assert result.exit_code == 2
    assert "No such command 'rnu'" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserFunctionFailed("x"), 1), (InvalidSetting("x"), 2), (BrokerUnavailable("x"), 3), (ValueError("x"), 1)],
)
def test_the_exit_code_says_what_kind_of_error_it_was(
    error: Exception, code: int, failing: Callable[[Exception], None], rayflow: Run
) -> None:
    failing(error)
    assert rayflow("fail").exit_code == code


def test_off_a_terminal_an_error_is_one_json_line_with_code_place_and_advice(
    failing: Callable[[Exception], None], rayflow: Run
) -> None:
    failing(UserFunctionFailed("ZeroDivisionError at job.py:7", job="j", operator="map", partition=1, offset=5))
    (line,) = log_lines(rayflow("fail").stderr)
    assert (line["level"], line["message"], line["code"]) == ("error", "ZeroDivisionError at job.py:7", "RF-2002")
    assert (line["job"], line["operator"], line["partition"], line["offset"]) == ("j", "map", 1, 5)
    assert line["advice"].startswith("Correct the function")


def test_on_a_terminal_an_error_is_a_few_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    errors.show_error(BrokerUnavailable("No answer from [a:9092]", job="j", advice="Start it"))
    assert [line.rstrip() for line in capsys.readouterr().err.splitlines()] == [
        "error RF-3002 No answer from [a:9092]",
        "  job  j",
        "  do   Start it",
    ]


def test_a_bug_of_ours_is_named_by_class_and_place_without_its_text(
    failing: Callable[[Exception], None], rayflow: Run
) -> None:
    failing(ValueError("the value of a record"))
    result = rayflow("fail")
    (line,) = log_lines(result.stderr)
    assert line["code"] == "RF-5001"
    assert line["message"].startswith("unexpected ValueError at ")
    assert "the value of a record" not in result.output


def test_debugging_shows_the_traceback(
    failing: Callable[[Exception], None], rayflow: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYFLOW_DEBUG", "1")
    error = BrokerUnavailable("x")
    failing(error)
    assert rayflow("fail").exception is error
