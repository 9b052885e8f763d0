"""Every job that a page shows runs, on the embedded log, and gives what the page says of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import rayflow as rf
from rayflow.core.parameters import provide
from rayflow.plan.compile import plan_of
from rayflow.runtimes.hosting.options import RunOptions
from rayflow.runtimes.local.runtime import LocalRuntime
from tests.docs.fences import ROOT, blocks_of, pages
from tests.docs.given import GIVEN, Given
from tests.e2e.brokers import Broker

PAGES = [page for page in pages() if any(block.language == "python" for block in blocks_of(page))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of its own, without parameters that a test before has provided; modules that are made there
    are forgotten afterwards."""
    provide({})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("docs_job_") or str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def jobs_of(page: Path, folder: Path) -> list[rf.Job]:
    """The jobs that the blocks of a page make, outside of its tests."""
    module = ModuleType(f"docs_job_{page.stem.replace('-', '_').lower()}")
    sys.modules[module.__name__] = module
    found: dict[int, rf.Job] = {}
    for block in blocks_of(page):
        if block.title is not None:
            (folder / block.title).write_text(block.text)
        if block.language != "python" or "norun" in block.marks or "rayflow" not in block.text:
            continue
        if block.title is not None:
            importlib.invalidate_caches()
            sys.modules.pop(block.title.removesuffix(".py"), None)  # another test's file of this name
            made = vars(importlib.import_module(block.title.removesuffix(".py")))
            vars(module).update({name: value for name, value in made.items() if not name.startswith("__")})
        else:
            exec(compile(block.text, block.place, "exec"), vars(module))
        found.update({id(job): job for job in list(vars(module).values()) if isinstance(job, rf.Job)})
    return list(found.values())


def run_on_the_embedded_log(job: rf.Job, given: Given, folder: Path) -> dict[str, list[tuple[str | None, Any]]]:
    """Write the input, run to its end, read the output. One partition, so that there is one order."""
    log = Broker(f"embedded:{folder / 'log'}", tag="")
    for topic, records in given.input.items():
        log.create(topic, 1)
        log.append(topic, records)
    for topic in given.output:
        log.create(topic, 1)
    options = RunOptions(broker=log.url, state=folder / "state", until_end=True)
    assert LocalRuntime(plan_of(job), options).run().state == "done"
    found = {
        topic: [
            (None if record.key is None else record.key.decode(), decoded(record.value)) for record in log.read(topic)
        ]
        for topic in given.output
    }
    log.close()
    return found


def run_in_memory(job: rf.Job, given: Given) -> dict[str, list[tuple[str | None, Any]]]:
    """The same by the driver."""
    with rf.testing.Driver(job) as driver:
        for topic, records in given.input.items():
            for key, value, timestamp in records:
                driver.send(topic, msgspec.json.encode(value), key=key, timestamp=timestamp)
        driver.checkpoint()
        return {
            topic: [(record.key, msgspec.to_builtins(record.value)) for record in driver.records(topic)]
            for topic in given.output
        }


def decoded(value: bytes | None) -> Any:
    """A value: JSON, or text that is none."""
    try:
        return None if value is None else msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value.decode()  # type: ignore[union-attr]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_jobs_of_a_page_give_what_it_says(page: Path, folder: Path) -> None:
    name = str(page.relative_to(ROOT))
    jobs = jobs_of(page, folder)
    assert {job.name for job in jobs} == {job for of, job in GIVEN if of == name}, "tests/docs/given.py lacks a job"
    for job in jobs:
        given = GIVEN[name, job.name]
        for file, text in given.files.items():
            (folder / file).write_text(text)
        place = folder / f"run-{job.name}"
        found = run_in_memory(job, given) if given.in_memory else run_on_the_embedded_log(job, given, place)
        assert found == {topic: list(records) for topic, records in given.output.items()}, job.name
