"""What was stored by the code of every format is read, and what is stored today is what is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.formats import GOLDENS, Golden

EVERY_FILE = [pytest.param(golden, path, id=path.name) for golden in GOLDENS for path in golden.paths]
EVERY_FORMAT = [pytest.param(golden, id=golden.name) for golden in GOLDENS]


@pytest.mark.parametrize(("golden", "path"), EVERY_FILE)
def test_a_file_of_every_format_is_read(golden: Golden, path: Path) -> None:
    assert golden.read(path.read_bytes()) == golden.holds


@pytest.mark.parametrize("golden", EVERY_FORMAT)
def test_a_format_has_its_file_and_no_number_is_left_out(golden: Golden) -> None:
    """When a format's number is raised: `python -m tests.golden` adds its file, and the older ones stay."""
    names = [f"{golden.name}-{number}{golden.suffix}" for number in range(1, golden.format + 1)]
    assert [path.name for path in golden.paths] == sorted(names)


@pytest.mark.parametrize("golden", EVERY_FORMAT)
def test_what_is_written_today_is_what_the_file_of_today_s_format_holds(golden: Golden) -> None:
    """If this fails, what is stored has changed without its format's number."""
    today = golden.write()
    assert golden.read(today) == golden.holds
    if golden.exact:
        assert today == golden.path.read_bytes()
