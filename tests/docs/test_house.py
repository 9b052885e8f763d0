"""`how-it-is-built.md` draws what is there: its modules, its layers, and the ways of a record and of a barrier."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import rayflow
from rayflow.connectors.steps import PUBLISH_STEPS
from rayflow.runtimes.hosting.steps import STEPS, publish
from tests.docs.fences import DOCS, ROOT, blocks_of
from tests.docs.house import INTERVAL, Entered, House, recorded

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = DOCS / "concepts" / "how-it-is-built.md"
TEXT = PAGE.read_text(encoding="utf-8")
PACKAGE = Path(rayflow.__file__).parent
_CODE = re.compile(r"`([^`]+)`")
_PLACE = re.compile(r"`([a-z_/]+(?:/|\.py))`(?:(?: \| | )`(\w+(?:\.\w+)?)`)?")


def table(marker: str) -> list[list[str]]:
    """The rows of the table that follows a comment, without its head."""
    lines = TEXT.partition(f"<!-- {marker} -->\n\n")[2].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


def functions_of(rows: Iterable[list[str]]) -> list[str]:
    """`module.py function` of each row that names one."""
    return [f"{row[2].strip('`')} {row[3].strip('`')}" for row in rows if row[2]]


def found(path: str, name: str | None) -> Any:
    """The function or class of a module that the page names, None for a module alone. Fails when it is not there."""
    assert (PACKAGE / path).exists(), f"rayflow/{path} does not exist"
    if name is None or not path.endswith(".py"):
        return None
    thing: Any = importlib.import_module("rayflow." + path.removesuffix(".py").replace("/", "."))
    module = thing.__name__
    for part in name.split("."):
        assert hasattr(thing, part), f"{module} has no {name}"
        thing = getattr(thing, part)
    if "." not in name:
        assert thing.__module__ == module, f"{name} is imported by {module}, but defined in {thing.__module__}"
    return thing


class Named:
    """A function that the page names, and whether an entry is one of it: itself, or what implements its contract."""

    def __init__(self, text: str) -> None:
        path, _, name = text.partition(" ")
        self.text = text
        self.function = found(path, name)
        owner = name.rpartition(".")[0]
        self.name = self.function.__name__
        self._module = "rayflow." + path.removesuffix(".py").replace("/", ".")
        self._owner: type | None = found(path, owner) if owner else None

    def is_of(self, entry: Entered | str) -> bool:
        if isinstance(entry, str) or entry.name != self.name:
            return False
        if self._owner is None:
            return entry.owner is None and entry.module == self._module
        return entry.owner is not None and (issubclass(entry.owner, self._owner) or self._resembles(entry.owner))

    def _resembles(self, owner: type) -> bool:
        """A protocol is implemented without inheriting from it."""
        return getattr(self._owner, "_is_protocol", False) and all(
            hasattr(owner, name) for name, _ in inspect.getmembers(self._owner, inspect.isfunction) if name[0] != "_"
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[Entered | str]:
    """What happens while one record goes through the job and out, and its epoch with it: calls, returns and steps."""
    rows = table("way of a record") + table("way of a barrier")
    names = {Named(text).name for text in functions_of(rows)}
    seen: list[Entered | str] = []
    house = House(tmp_path_factory.mktemp("house"), on_step=seen.append)
    house.start()
    seen.clear()
    word = house.word_to_the_other()
    house.write(word)
    with recorded(seen, names, word):
        house.run_until(lambda: house.pending)
        house.wait(INTERVAL)
        house.run_until(lambda: "after CollectGarbage" in seen)
        (polled,) = house.output()
    until_done = list(seen)
    house.close()
    assert polled.batch.keys == [word.encode()]
    return until_done


def test_every_module_and_function_that_the_page_names_exists() -> None:
    places = _PLACE.findall(TEXT)
    assert len(places) > 80
    for path, name in places:
        if path.startswith("tests/"):
            assert (ROOT / path).exists()
        else:
            found(path, name or None)


def test_no_name_of_a_function_stands_apart_from_its_module() -> None:
    """So that the test above sees all of them."""
    seen = {name for _, name in _PLACE.findall(TEXT)}
    alone = {code for code in _CODE.findall(TEXT) if re.fullmatch(r"[A-Z]\w+\.\w+|[A-Z][a-z]+[A-Z]\w+", code)}
    classes = {name.partition(".")[0] for name in seen}
    assert {code for code in alone if code not in seen | classes} <= {"Ports.on_step"}


def test_the_layers_are_those_of_the_import_linter() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    names = [layer.removeprefix("rayflow.") for layer in layers]
    (drawn,) = (block.text for block in blocks_of(PAGE) if block.language == "mermaid")
    edges = re.findall(r'^  (\w+)(?:\["[^"]+"\])? --> (\w+)\["(\w+): [^"]+"\]$', drawn, re.MULTILINE)
    assert len(edges) == len(drawn.splitlines()) - 1
    assert [(above, below) for above, below, _ in edges] == list(pairwise(names))
    assert [label for _, _, label in edges] == names[1:]
    rows = TEXT.partition("| layer | what it does |\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert [_CODE.findall(row)[0] for row in rows] == names


def test_a_record_goes_the_way_that_the_page_shows(run: list[Entered | str]) -> None:
    """Each function, in the order in which it is first given the record, or first returns it."""
    shown = functions_of(table("way of a record"))
    waiting = {text: Named(text) for text in shown}
    went: list[str] = []
    for entry in run:
        if isinstance(entry, Entered) and entry.carried:
            for text in [text for text, named in waiting.items() if named.is_of(entry)]:
                del waiting[text]
                went.append(text)
    assert went == shown


def test_a_barrier_goes_the_way_that_the_page_shows(run: list[Entered | str]) -> None:
    """Each function and each step, in the order in which they first come once the barrier is requested.

    In a row, steps called `before` come before the function, others after it.
    """
    rows = table("way of a barrier")
    shown: list[str] = []
    for row in rows:
        before = [step for step in _CODE.findall(row[4]) if step.startswith("before ")]
        after = [step for step in _CODE.findall(row[4]) if step not in before]
        shown += before + functions_of([row]) + after
    waiting = {text: Named(text) for text in functions_of(rows)}
    first = run.index("before InjectBarrier")
    request = max(i for i, entry in enumerate(run[:first]) if Named(functions_of(rows)[0]).is_of(entry))
    went: list[str] = []
    for entry in run[request:]:
        if isinstance(entry, str):
            if entry not in went and not entry.startswith("after "):
                went.append(entry)
        elif not entry.returned:
            for text in [text for text, named in waiting.items() if named.is_of(entry)]:
                del waiting[text]
                went.append(text)
    assert went == shown


def test_the_steps_of_publishing_are_those_of_a_publisher() -> None:
    steps = [step for row in table("way of a barrier") for step in _CODE.findall(row[4])]
    assert set(steps) <= STEPS
    assert [step for step in steps if step.startswith("publish ")] == list(map(publish, PUBLISH_STEPS))
