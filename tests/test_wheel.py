"""What users install: everything that their jobs run on, and nothing that only contributors run."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
CONTRIBUTORS_ONLY = ("rayflow.testing.simulate", "rayflow.testing.simulation", "rayflow.runtimes.simulated")


@pytest.fixture(scope="module")
def files() -> set[str]:
    """The paths in the wheel, as the build backend's configuration has them."""
    return {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}


@pytest.fixture(scope="module")
def modules(files: set[str]) -> set[str]:
    names = (path.removesuffix(".py").replace("/", ".") for path in files if path.endswith(".py"))
    return {name.removesuffix(".__init__") for name in names}


def test_the_wheel_has_every_module_but_the_simulation(modules: set[str]) -> None:
    sources = (path.relative_to(ROOT) for path in (ROOT / "rayflow").rglob("*.py"))
    every = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in sources}
    assert every - modules == {name for name in every if name.startswith(CONTRIBUTORS_ONLY)}
    assert modules <= every


def test_no_module_of_the_wheel_imports_one_that_is_not_there(modules: set[str]) -> None:
    graph = grimp.build_graph("rayflow", cache_dir=None)
    missing = {
        (module, imported)
        for module in modules
        for imported in graph.find_modules_directly_imported_by(module)
        if imported not in modules
    }
    assert missing == set()


def test_the_wheel_has_the_types_marker_and_the_templates_of_a_new_project(files: set[str]) -> None:
    templates = {f"rayflow/cli/project/{path.name}" for path in (ROOT / "rayflow/cli/project").iterdir()}
    assert {path for path in files if not path.endswith(".py")} == {"rayflow/py.typed", *templates}
