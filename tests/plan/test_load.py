"""Importing job files."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayflow.core.errors import InvalidJob, JobFileFailed, NoJobFound, SeveralJobs
from rayflow.plan.load import load_job, module_name

JOB = """
import rayflow as rf

class Order(rf.Record):
    id: int

job = rf.Job("j")
job.stream("a", value=Order).to("b")
"""


@pytest.fixture
def stem() -> Iterator[str]:
    """A module name of the test's own, forgotten afterwards along with what it put on the path."""
    name, path, modules = f"job_{uuid.uuid4().hex}", list(sys.path), set(sys.modules)
    yield name
    sys.path[:] = path
    for module in set(sys.modules) - modules:
        del sys.modules[module]


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / f"{name}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_the_job_of_a_file_is_found(tmp_path: Path, stem: str) -> None:
    file = write(tmp_path, stem, JOB)
    job = load_job(str(file))
    assert job.name == "j"
    assert load_job(f"{file}:job") is job, "a file runs once per process"
    assert sys.modules[stem].Order.__module__ == stem


def test_a_file_in_a_package_has_the_dotted_name(tmp_path: Path, stem: str) -> None:
    package = tmp_path / stem
    file = write(package, "revenue", "from .records import Order\n" + JOB)
    write(package, "records", "class Order: ...\n")
    (package / "__init__.py").touch()
    load_job(str(file))
    assert sys.modules[f"{stem}.revenue"].Order.__module__ == f"{stem}.revenue"


def test_a_file_can_import_its_neighbours(tmp_path: Path, stem: str) -> None:
    write(tmp_path, f"{stem}_beside", "topic = 'a'\n")
    file = write(tmp_path, stem, f"import {stem}_beside as beside\n{JOB}\njob.stream(beside.topic).print()\n")
    assert load_job(str(file)).name == "j"


def test_module_names_follow_from_the_file_alone(tmp_path: Path) -> None:
    assert module_name(tmp_path / "revenue.py") == ("revenue", tmp_path)
    assert module_name(tmp_path / "my-job.2.py")[0] == "my_job_2"
    assert module_name(tmp_path / "2nd.py")[0] == "_2nd"
    assert module_name(tmp_path / "json.py")[0] == "json_job"


def test_several_jobs_need_a_variable(tmp_path: Path, stem: str) -> None:
    file = write(tmp_path, stem, JOB + 'other = rf.Job("other")\nother.stream("a").to("b")\nalias = other\n')
    with pytest.raises(SeveralJobs, match="job, other") as caught:
        load_job(str(file))
    assert caught.value.advice == f"Name one: {file}:job"
    assert load_job(f"{file}:other").name == "other"
    with pytest.raises(NoJobFound, match="no job called third: it has alias, job, other"):
        load_job(f"{file}:third")


def test_a_file_without_a_job(tmp_path: Path, stem: str) -> None:
    with pytest.raises(NoJobFound, match="defines no job"):
        load_job(str(write(tmp_path, stem, "x = 1\n")))


def test_a_file_that_fails_names_its_line_and_keeps_the_cause(tmp_path: Path, stem: str) -> None:
    file = write(tmp_path, stem, "import json\nx = 1\njson.loads('{')\n")
    with pytest.raises(JobFileFailed, match=rf"{stem}\.py:3: JSONDecodeError") as caught:
        load_job(str(file))
    assert isinstance(caught.value.__cause__, ValueError)
    assert stem not in sys.modules


def test_a_file_with_a_syntax_error_names_its_line(tmp_path: Path, stem: str) -> None:
    with pytest.raises(JobFileFailed, match=rf"{stem}\.py:2: SyntaxError"):
        load_job(str(write(tmp_path, stem, "x = 1\ny = = 2\n")))


def test_a_file_that_exits_fails(tmp_path: Path, stem: str) -> None:
    with pytest.raises(JobFileFailed, match=rf"{stem}\.py:2: SystemExit"):
        load_job(str(write(tmp_path, stem, "import sys\nsys.exit(3)\n")))


def test_an_invalid_job_keeps_its_own_error(tmp_path: Path, stem: str) -> None:
    file = write(tmp_path, stem, 'import rayflow as rf\nrf.Job("j").stream("a").window(1)\n')
    with pytest.raises(InvalidJob, match=rf"{stem}\.py:2: \.window\(\) needs a keyed stream"):
        load_job(str(file))


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(JobFileFailed, match="there is no file"):
        load_job(str(tmp_path / "none.py"))
    with pytest.raises(JobFileFailed, match="there is no file"):
        load_job(str(tmp_path / "none.py:job"))
    with pytest.raises(JobFileFailed, match="is a folder"):
        load_job(str(tmp_path))
    text = tmp_path / "notes.txt"
    text.write_text("x")
    with pytest.raises(JobFileFailed, match="is no Python file"):
        load_job(str(text))
