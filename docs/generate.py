"""Writes the parts of the docs that follow from the code: `python docs/generate.py`, from anywhere.

In a page they stand between `<!-- generated: NAME -->` and `<!-- end -->`; `tests/docs` compares them with the code.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from pydantic_core import PydanticUndefined

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from sequence import svg  # noqa: E402

from rayflow.cli.root import cli  # noqa: E402
from rayflow.cli.run import run  # noqa: E402
from rayflow.core import errors, metrics  # noqa: E402
from rayflow.core.settings import PREFIX, Settings  # noqa: E402

_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DIAGRAM = re.compile(r"```mermaid\n(sequenceDiagram\n.*?)```", re.DOTALL)


def error_tables() -> str:
    """Every error, by block of numbers."""
    families = [module.__doc__ or "" for module in vars(errors).values() if inspect.ismodule(module)]
    headings = [found for text in families if (found := re.match(r"RF-(\d)xxx: (.+)\.$", text))]
    blocks = {found[1]: found[2] for found in sorted(headings, key=lambda found: found[1])}
    classes = sorted(errors.RayflowError.__subclasses__(), key=lambda error: error.code)
    lines: list[str] = []
    for number, about in blocks.items():
        lines += [f"## {number}xxx: {about}", "", "| code | name | meaning | what to do | exit code |"]
        lines.append("| --- | --- | --- | --- | --- |")
        for error in classes:
            if error.code.startswith(f"RF-{number}"):
                meaning = " ".join(inspect.cleandoc(error.__doc__ or "").split("\n\n")[0].split())
                advice = error.default_advice or "As the message says"
                code = f"`{error.code}`{{ #{error.code.lower()} }}"
                lines.append(f"| {code} | `{error.__name__}` | {meaning} | {_cell(advice)} | {error.exit_code} |")
        lines.append("")
    return "\n".join(lines)


def settings_table() -> str:
    """Every setting: how it is given, its default, what it does."""
    meanings = _attributes(Settings)
    flags = {param.name: param.opts[0] for param in run.params if isinstance(param, click.Option)}
    lines = [
        "| in rayflow.toml | flag of `run` | environment | default | what it says |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        flag = f"`{flags[name]}`" if name in flags else f"`--set {name}=`"
        variable = f"`{PREFIX}{name.upper()}`"
        if name == "kafka":
            flag, variable = "`--set kafka.NAME=`", f"`{PREFIX}KAFKA_*`"
        elif name == "parameters":
            flag, variable = "`--set NAME=`", f"`{PREFIX}SET_*`"
        table = f"`[{name}]`" if name in ("kafka", "parameters") else f"`{name}`"
        lines.append(f"| {table} | {flag} | {variable} | {_default(name, field.default)} | {_cell(meanings[name])} |")
    return "\n".join(lines) + "\n"


def metrics_table() -> str:
    """Every metric."""
    return metrics.reference()


def command_help() -> str:
    """`--help` of every command."""
    parts = []
    root = click.Context(cli, info_name="rayflow", terminal_width=100, **cli.context_settings)
    for path, context in _commands(cli, root):
        parts.append(f"## {path}\n\n```text\n{context.get_help().rstrip()}\n```\n")
    return "\n".join(parts)


GENERATORS: dict[str, Callable[[], str]] = {
    "errors": error_tables,
    "settings": settings_table,
    "metrics": metrics_table,
    "cli": command_help,
}


def generated() -> Iterator[tuple[Path, str]]:
    """Each file that has something generated, and its text as it must be."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if _PART.search(text):
            yield page, _PART.sub(lambda part: f"{part[1]}\n{GENERATORS[part[2]]().strip()}\n\n{part[3]}", text)
    protocol = DOCS / "concepts" / "exactly-once.md"
    diagram = _DIAGRAM.search(protocol.read_text(encoding="utf-8"))
    assert diagram is not None
    yield protocol.with_suffix(".svg"), svg(diagram[1])


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Context]]:
    """Each command's path, as it is typed, and the context that its help is made in."""
    yield context.command_path, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, click.Context(inner, parent=context, info_name=name, max_content_width=100))


def _attributes(documented: type[Any]) -> dict[str, str]:
    """What the section "Attributes" of a class's docstring says of each."""
    section = inspect.cleandoc(documented.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _default(name: str, default: Any) -> str:
    if default is None or default is PydanticUndefined:
        return "none"
    if name == "memory_limit":
        return f"`{int(default) >> 20}MiB`"
    return f"`{default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for path, content in generated():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            print(f"wrote {path.relative_to(DOCS.parent)}")
