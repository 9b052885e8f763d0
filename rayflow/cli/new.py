"""`rayflow new`: create a small project."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from rayflow.core.installed import requirement

FILES = {
    "job.py": "job.py.template",
    "test_job.py": "test_job.py.template",
    "README.md": "README.md.template",
    "pyproject.toml": "pyproject.toml.template",
    ".gitignore": "gitignore.template",
}
_NAME = re.compile(r"[a-z][a-z0-9_-]*[a-z0-9]|[a-z]")


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Create a project in a new folder NAME: a job, a test and a README."""
    if _NAME.fullmatch(name) is None:
        raise click.BadParameter(
            "start with a lower-case letter; use lower-case letters, digits, - and _", param_hint="NAME"
        )
    folder = Path(name)
    if folder.exists():
        raise click.BadParameter(f"{folder} already exists", param_hint="NAME")
    folder.mkdir()
    facts = {"name": name, "requirement": requirement()}
    templates = files("rayflow.cli") / "project"
    for target, source in FILES.items():
        text = (templates / source).read_text(encoding="utf-8")
        (folder / target).write_text(Template(text).substitute(facts), encoding="utf-8")
    click.echo(f"created {folder}/ with {', '.join(FILES)}\n\n  cd {folder}\n  rayflow run job.py --until-end")
