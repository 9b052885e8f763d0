"""What the docs show is what happens: code runs, commands give the output shown, links lead somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import rayflow as rf
from rayflow.core.parameters import provide
from tests.docs.console import agree, commands_of
from tests.docs.fences import DOCS, ROOT, Block, blocks_of, pages
from tests.docs.terminal import Screen, Shell
from tests.kafka.broker import Broker
from tests.ray.machines import Machines

PYTHON_PAGES = [page for page in pages() if any(block.language == "python" for block in blocks_of(page))]
CONSOLE_PAGES = [page for page in pages() if any(block.language == "console" for block in blocks_of(page))]
ROOT_PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]


def name_of(page: Path) -> str:
    """Names a test."""
    return str(page.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory without the settings of this machine; modules made there are forgotten afterwards."""
    for name in list(os.environ):
        if name.startswith("RAYFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        place = getattr(sys.modules[name], "__file__", None)
        if name.startswith("docs_page_") or (place or "").startswith(str(tmp_path)):
            del sys.modules[name]
    provide({})


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=name_of)
def test_the_python_of_a_page_runs(page: Path, folder: Path) -> None:
    """Blocks with a title are modules of that name, the others go on with the names of those before them.

    Every job must compile and start, every `test_` function pass. `.norun` marks what cannot run here.
    """
    module = ModuleType(f"docs_page_{page.stem.replace('-', '_').lower()}")
    sys.modules[module.__name__] = module
    for block in blocks_of(page):
        if block.title is not None:
            (folder / block.title).write_text(block.text)
        if block.language != "python" or "norun" in block.marks or not is_module(block):
            continue
        known = set(map(id, vars(module).values()))
        if block.title is not None:
            importlib.invalidate_caches()
            vars(module).update(vars(importlib.import_module(block.title.removesuffix(".py"))))
        else:
            exec(compile(block.text, block.place, "exec"), vars(module))
        for name, made in list(vars(module).items()):
            if id(made) in known:
                continue
            if isinstance(made, rf.Job):
                rf.testing.Driver(made).close()
            elif name.startswith("test_") and isinstance(made, FunctionType):
                made()


def is_module(block: Block) -> bool:
    """Whether a block is to be imported here: a script of its own runs when a command of the page runs it."""
    return block.title is None or "rayflow" in block.text


@pytest.fixture
def shell(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell that has `rayflow`, `python` and `pytest` as one in the virtual environment has."""
    programs = tmp_path_factory.mktemp("bin")
    for name, call in {
        "rayflow": f'exec "{sys.executable}" -m rayflow.cli "$@"',
        "python": f'exec "{sys.executable}" "$@"',
        "pip": "exit 0",
        "pytest": f'exec "{sys.executable}" -m pytest -p no:cacheprovider "$@"',
    }.items():
        program = programs / name
        program.write_text(f"#!/bin/sh\n{call}\n")
        program.chmod(0o755)
    shutil.copytree(ROOT / "jobs", folder / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))}
    path = f"{programs}:{os.environ['PATH']}"
    opened = Shell(folder, {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"})
    yield opened
    opened.close()


@pytest.mark.parametrize("page", CONSOLE_PAGES, ids=name_of)
def test_the_commands_of_a_page_show_what_it_says(page: Path, folder: Path, shell: Shell) -> None:
    """On the embedded log. `.norun` marks what cannot run here, `.kafka` and `.ray` what needs a broker, a cluster."""
    play(page, folder, shell, {"norun", "kafka", "ray"})


def test_the_tutorials_commands_for_kafka_show_what_it_says(folder: Path, shell: Shell, own_kafka: Broker) -> None:
    play(DOCS / "tutorial.md", folder, shell, {"norun"}, own_kafka)


@pytest.fixture
def on_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of two nodes, which RAY_ADDRESS names."""
    with Machines(2) as machines:
        monkeypatch.setenv("RAY_ADDRESS", machines.address)
        yield


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_the_commands_for_a_cluster_show_what_it_says(folder: Path, on_ray: None, shell: Shell) -> None:
    play(DOCS / "guides" / "cluster.md", folder, shell, {"norun"})


def play(page: Path, folder: Path, shell: Shell, without: set[str], kafka: Broker | None = None) -> None:
    """Write the files of a page and run its commands, in the order of the page; with `kafka` those for Kafka only."""
    home = folder
    for block in blocks_of(page):
        if block.title is not None:
            (home / block.title).write_text(block.text)
        if block.language != "console" or without & block.marks or (kafka is not None and "kafka" not in block.marks):
            continue
        for command in commands_of(block.text):
            text = command.text
            if kafka is not None:
                text = text.replace("localhost:9092", kafka.bootstrap)
            code, shown = shell.run(text, interrupt_at=" running" if "interrupt" in block.marks else None)
            assert agree(shown, command.shows), f"{block.place}: $ {text} shows\n" + "\n".join(shown)
            assert code == 0 or "RF-" in "".join(shown), f"{block.place}: $ {text} ends with {code}: {shown}"
            if match := re.fullmatch(r"mkdir (\w+) && cd \1", text):
                home = home / match[1]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_blocks_that_do_not_run_are_marked_as_such(page: Path) -> None:
    known = {"norun", "kafka", "ray", "interrupt"}
    for block in blocks_of(page):
        assert block.marks <= known, f"{block.place}: {sorted(block.marks - known)}"
        if block.language in ("", "text") and page != ROOT / "README.md":
            assert "$ rayflow" not in block.text, f"{block.place}: commands belong in a console block"


def test_what_is_generated_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path, text in generate.generated():
        assert path.read_text().splitlines() == text.splitlines(), f"{name_of(path)}: run python docs/generate.py"


def test_the_site_builds_without_a_warning_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(
        build, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "site" / "index.html").is_file()


@pytest.mark.parametrize("page", ROOT_PAGES, ids=name_of)
def test_the_links_of_pages_outside_of_the_site_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


def test_a_screen_keeps_what_a_live_line_leaves() -> None:
    screen = Screen()
    screen.write("one\r\n\r\x1b[2Kjob running\r\x1b[2Kjob done\r\n\x1b[1A\x1b[2K\x1b[1mjob\x1b[0m done in 1 s\r\n")
    assert screen.lines == ["one", "job done in 1 s", ""]


def test_an_ellipsis_stands_for_text_or_for_lines() -> None:
    assert agree(["made topic 7", "done in 3 s: ok"], ("...", "done in ...: ok"))
    assert agree(["done in 3 s: ok"], ("...", "done in ...: ok"))
    assert not agree(["done in 3 s: ok", "and more"], ("done in ...: ok",))


def test_what_is_measured_may_be_another_and_nothing_else() -> None:
    said = ("done in 0.7 s: 3 records in, 17 out, 4 records/s, epoch 1", "  1  2026-11-30 20:17:58  2.0 KiB (115 B)")
    assert agree(["done in 12 s: 3 records in, 17 out, 21,388 records/s, epoch 1", said[1]], said)
    assert agree([said[0], "  1  2027-01-01 00:00:00  17 B (1.1 MiB)"], said)
    for wrong in (
        said[0].replace("17 out", "18 out"),
        said[0].replace("epoch 1", "epoch 2"),
        said[0].replace("0.7 s", "s"),
    ):
        assert not agree([wrong, said[1]], said)
    assert not agree(["tumbling 6 min, out of order by 5 s"], ("tumbling 5 min, out of order by 5 s",))
    assert not agree(["a checkpoint every 2 s"], ("a checkpoint every 1 s",))
    assert agree(["plan 0123456789abcdef"], ("plan 98f5f5aac0673cb0",))
    assert not agree(["plan 98f5"], ("plan 98f5f5aac0673cb0",))


def test_pages_leave_little_open_of_what_commands_show() -> None:
    """A line with `...` is compared in part only."""
    lines = [
        line
        for page in CONSOLE_PAGES
        for block in blocks_of(page)
        if block.language == "console" and not block.marks & {"ray", "norun"}
        for command in commands_of(block.text)
        for line in command.shows
    ]
    left_open = [line for line in lines if "..." in line and line.strip() != "..."]
    assert len(left_open) < len(lines) / 8, "\n".join(left_open)
    assert lines.count("...") < len(lines) / 6


def test_columns_may_be_wider_or_narrower() -> None:
    assert agree(["EPOCH   AGE", "    2  10 s"], ("EPOCH  AGE", "    2  ...s"))
    assert agree(["lag  3 records"], ("...   3 records",))
    assert not agree(["EPOCH AGE"], ("EPOCH  AGE",))
    assert not agree(["  2  10 s"], ("    2  10 s",))
