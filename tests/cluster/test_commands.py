"""What the files and their guide tell people and machines to call exists: commands, flags, settings, versions."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rayflow.cli.root import COMMANDS, cli
from rayflow.core.settings import PREFIX, Settings
from rayflow.version import __version__
from tests.cluster.files import CLUSTER, DOCS, GUIDE, raycluster

FILES = [path for path in sorted(CLUSTER.rglob("*")) if path.is_file()] + [GUIDE, DOCS / "concepts" / "ray.md"]
_FLAG = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
_CALL = re.compile(r"(?<![\w./-])(?:~/rayflow/venv/bin/)?(rayflow|ray) ([a-z][a-z-]*)((?: +[^\s;&|`)]+)*)")


def calls(program: str) -> list[tuple[str, str, frozenset[str]]]:
    """File, command and flags of each call of a program in the files and in the guide."""
    found = []
    for path in FILES:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        text = re.sub(r"\n *- (?=\S)", " ", text) if path.name == "compose.yaml" else text
        text = re.sub(r"(ray start [^\n]*)\n +(?=--)", r"\1 ", text)
        for name, command, rest in _CALL.findall(re.sub(r"\[ray, start,([^\]]*)\]", _spelled, text)):
            if name == program:
                found.append((path.name, command, frozenset(_FLAG.findall(rest))))
    return found


def _spelled(match: re.Match[str]) -> str:
    return "ray start" + match[1].replace(",", "")


def flags_of_rayflow(command: str) -> set[str]:
    """As `rayflow COMMAND --help` prints them."""
    shown = CliRunner().invoke(cli, [command, "--help"], prog_name="rayflow")
    assert shown.exit_code == 0, shown.output
    return set(_FLAG.findall(shown.output))


def flags_of_ray() -> dict[str, set[str]]:
    """The options of each command of `ray`, read from its source: importing it takes seconds."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "scripts" / "scripts.py").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef):
            texts = [node.value for each in function.decorator_list for node in ast.walk(each) if _is_text(node)]
            found[function.name.replace("_", "-")] = {text for text in texts if text.startswith("-")}
    return found


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_calls_are_found_where_they_are_written() -> None:
    assert ("rayjob.yaml", "submit", frozenset({"--checkpoints", "--wait"})) in calls("rayflow")
    starts = [(file, flags) for file, command, flags in calls("ray") if command == "start"]
    assert {file for file, _ in starts} >= {"compose.yaml", "cluster.yaml"}
    assert any({"--head", "--dashboard-host"} <= flags for file, flags in starts if file == "compose.yaml")
    assert any({"--head", "--autoscaling-config"} <= flags for file, flags in starts if file == "cluster.yaml")
    assert any({"--address", "--num-cpus"} <= flags for file, flags in starts if file == "compose.yaml")


@pytest.mark.parametrize("command", sorted({command for _, command, _ in calls("rayflow") if command in COMMANDS}))
def test_rayflow_has_the_flags_that_are_used(command: str) -> None:
    used = {flag for _, name, flags in calls("rayflow") if name == command for flag in flags}
    assert used <= flags_of_rayflow(command)


def test_every_command_of_rayflow_that_yaml_calls_exists() -> None:
    for file, command, _ in calls("rayflow"):
        if file.endswith((".yaml", ".yml")):
            assert isinstance(cli.get_command(click.Context(cli), command), click.Command), (file, command)


def test_ray_has_the_flags_that_are_used() -> None:
    known = flags_of_ray()
    for file, command, flags in calls("ray"):
        if command in ("start", "stop", "up", "down", "get-auth-token", "health-check"):
            assert flags <= known[command], (file, command, flags - known[command])
    spec = raycluster()["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert {f"--{name}" for name in group["rayStartParams"]} <= known["start"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_settings_that_are_given_by_the_environment_exist(path: Path) -> None:
    for name in re.findall(rf"\b{PREFIX}[A-Z_]+\b(?![-*])", path.read_text(encoding="utf-8")):
        inner = name.removeprefix(PREFIX).lower()
        assert inner in Settings.model_fields or inner.startswith(("kafka_", "set_")), name


def test_all_files_mean_the_same_versions() -> None:
    text = {path: path.read_text(encoding="utf-8") for path in FILES}
    ours = {found for each in text.values() for found in re.findall(r"rayflow[-_]streams(?::|-)([\d.]+\d)", each)}
    assert ours == {__version__}
    rays = {
        found
        for each in text.values()
        for found in re.findall(r'(?:RAY_VERSION=|ray\[default\]==|rayVersion: ")(\d[\d.]*\d)', each)
    }
    assert len(rays) == 1, rays
