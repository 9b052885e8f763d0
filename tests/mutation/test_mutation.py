"""The mutation run itself: what it changes, that it tells a mutant which dies from one that lives, and that it ends."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.mutation.__main__ import ROOT
from tests.mutation.edits import compiles, edits
from tests.mutation.equivalent import Equivalent, equivalents
from tests.mutation.mutants import PACKAGES, Mutant, chosen, every_mutant
from tests.mutation.process import run
from tests.mutation.report import Report, gone
from tests.mutation.selection import UNITS, Step, folder_of, steps
from tests.mutation.several import tried
from tests.mutation.trial import FailsAnyway, Outcome

SAMPLE = """
def clamp(value, high):
    if value > high:
        return high
    return value


def count(upto):
    n = 0
    while n < upto:
        n += 1
    return n


def nobody_calls(n):
    return n + 1
"""
TESTS = """
from rayflow.engine.sample import clamp, count


def test_clamp():
    assert (clamp(1, 3), clamp(3, 3), clamp(5, 3)) == (1, 3, 3)


def test_count():
    assert count(3) == 3
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tree with one module and its tests."""
    root = tmp_path / "project"
    for folder in ("rayflow/engine", "tests"):
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").touch()
    (root / "rayflow/__init__.py").touch()
    (root / "rayflow/engine/sample.py").write_text(SAMPLE)
    (root / "tests/test_sample.py").write_text(TESTS)
    return root


def unit(path: str) -> list[Step]:
    return [Step("unit", (sys.executable, "-m", "pytest", path, "-x", "-q", "-rf", "-p", "no:cacheprovider"))]


def mutant_of(root: Path, package: str, after: str) -> Mutant:
    (found,) = [mutant for mutant in every_mutant(root, [package]) if mutant.after == after]
    return found


def of_line(source: str) -> set[str]:
    """What becomes of the first line of a source."""
    return {edit.apply(source.encode()).decode().splitlines()[0] for edit in edits(source.encode())}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a is not None", {"x = a is None"}),
        ("x = a == b != c", {"x = a != b != c", "x = a == b == c"}),
        ("x = a + 1", {"x = a - 1", "x = a + 2", "x = a + 0"}),
        ("x = 0", {"x = 1", "x = (-1)"}),
        ("x = a and not b", {"x = a or not b", "x = a and b"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = True", {"x = False"}),
        ("f(x)", {"pass"}),
        ("self.a = b", {"pass"}),
        ("n -= d", {"pass", "n += d"}),
        ("x = a if b else c", {"x = a if not (b) else c"}),
        ("x = 'a' + b", set()),
        ("x: Literal[1] = y", set()),
        ("log.info('done', n=1)", set()),
        ("x = cast(A[1], y)", set()),
        ("assert a < b", set()),
        ("x = zip(a, b, strict=True)", set()),
        ("@dataclass(frozen=True)\nclass A:\n    'text'", set()),
        ("class A:\n    def __repr__(self):\n        return f(1)", set()),
        ("def validate(self):\n    if a < b:\n        raise ValueError", set()),
        ("raise InvariantBroken('text')", set()),
        ("raise ValueError('text')", {"pass"}),
        ("if TYPE_CHECKING:\n    x = 1", set()),
    ],
)
def test_a_line_is_changed_where_a_test_should_notice(source: str, expected: set[str]) -> None:
    assert of_line(source) == expected


def test_a_function_returns_early_and_its_returns_are_dropped() -> None:
    source = "def f(a):\n    'text'\n    if a:\n        return b\n    return c\n"
    found = {edit.apply(source.encode()).decode() for edit in edits(source.encode())}
    assert found == {
        "def f(a):\n    'text'\n    if not (a):\n        return b\n    return c\n",
        "def f(a):\n    'text'\n    if a:\n        pass\n    return c\n",
        "def f(a):\n    'text'\n    return\n\n    return c\n",
    }


def test_mutants_of_the_source_compile_and_keep_every_line_in_its_place() -> None:
    drawn = chosen(every_mutant(ROOT), 100, 1)
    assert len({mutant.place for mutant in drawn}) == 100
    for mutant in drawn:
        assert compiles(mutant.mutated)
        assert mutant.mutated.count(b"\n") == mutant.source.count(b"\n")
        assert mutant.diff


def test_a_seed_draws_the_same_mutants_again() -> None:
    mutants = every_mutant(ROOT, ["engine"])
    assert chosen(mutants, 10, 7) == chosen(mutants, 10, 7) != chosen(mutants, 10, 8)


def test_a_mutant_dies_by_a_test_by_its_time_or_lives(project: Path) -> None:
    dies, loops, same, unseen = (
        mutant_of(project, "engine", after)
        for after in ("while n <= upto:", "n -= 1", "if value >= high:", "return n - 1")
    )
    steps_of = {"steps": lambda _: unit("tests/test_sample.py"), "spare": 3.0}
    report = Report([Equivalent(same.file, same.before, same.after, "the value is the limit")])
    report.outcomes = list(tried([dies, loops, same, unseen], 2, project, **steps_of))
    became = {outcome.mutant.edit: outcome for outcome in report.outcomes}
    assert became[dies.edit].test == "tests/test_sample.py::test_count"
    assert became[loops.edit].test.startswith("over its time")
    assert not became[same.edit].killed
    assert not became[unseen.edit].killed
    assert [outcome.mutant for outcome in report.survivors] == [unseen]
    assert (report.rate, report.enough) == (2 / 3, False)
    told = "\n".join(report.told())
    assert "    -    return n + 1\n    +    return n - 1\n    SURVIVED" in told
    assert "    changes nothing: the value is the limit" in told


def test_a_mutant_of_the_engine_dies_by_the_tests_of_its_layer() -> None:
    mutant = mutant_of(ROOT, "engine", "return len(self._arrived) != len(self.channels)")
    (outcome,) = tried([mutant], 1, ROOT, steps=lambda _: unit("tests/engine/test_alignment.py"))
    assert outcome.test.startswith("tests/engine/test_alignment.py::")


def test_tests_that_fail_without_a_mutant_say_nothing_about_one(project: Path) -> None:
    (project / "tests/test_sample.py").write_text("def test_wrong():\n    assert False\n")
    mutant = mutant_of(project, "engine", "return n - 1")
    with pytest.raises(FailsAnyway, match="test_wrong"):
        list(tried([mutant], 1, project, steps=lambda _: unit("tests/test_sample.py")))


def test_what_a_process_has_started_ends_with_it(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    code = f"""
import subprocess, time
for apart in (False, True):
    print(subprocess.Popen({sleeper}, start_new_session=apart).pid, flush=True)
while True:
    pass
"""
    ended = run([sys.executable, "-c", code], tmp_path, {}, tmp_path / "output", threading.Event(), wall=100.0, cpu=1.0)
    assert ended.code is None
    pids = [int(line) for line in ended.output.split()]
    assert len(pids) == 2
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_every_module_has_tests_and_every_test_that_is_named_exists() -> None:
    assert {folder.partition("/")[0] for folder in UNITS} == {*PACKAGES}
    for package in PACKAGES:
        for path in (ROOT / "rayflow" / package).rglob("*.py"):
            file = path.relative_to(ROOT).as_posix()
            named = [part for step in steps(file) for part in step.command if part.startswith("tests/")]
            assert UNITS[folder_of(file)]
            assert all((ROOT / part).exists() for part in named), file


def test_equivalent_mutants_are_listed_with_a_reason_and_found_by_their_text() -> None:
    assert all(one.reason for one in equivalents())
    mutant = mutant_of(ROOT, "engine", "return len(self._arrived) != len(self.channels)")
    listed = Equivalent(mutant.file, mutant.before, mutant.after, "it is not")
    elsewhere = Equivalent(mutant.file, "x = 1", "x = 2", "it is gone")
    assert gone([listed, elsewhere], [mutant]) == [elsewhere]
    report = Report([listed], [Outcome(mutant, "unit", "tests/x.py::test_it", 1.0)])
    assert report.enough
    assert "is listed as equivalent, and was killed" in report.told()[-1]
