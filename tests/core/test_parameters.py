"""rf.setting: parameters that a job file reads."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from rayflow.core.errors import InvalidSetting
from rayflow.core.parameters import provide, setting, unread


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    provide({})


def test_a_parameter_takes_the_type_of_its_default() -> None:
    provide({"a": "5", "b": "2.5", "c": "true", "d": "250ms", "e": "text", "f": 7})
    assert setting("a", 1) == 5
    assert setting("b", 1.0) == 2.5
    assert setting("c", False) is True
    assert setting("d", timedelta(seconds=1)) == timedelta(milliseconds=250)
    assert setting("e", "x") == "text"
    assert setting("e", None) == "text"
    assert setting("f", 1.0) == 7.0
    assert setting("missing", 3) == 3


@pytest.mark.parametrize(
    ("given", "default"), [("x", 1), ("1.5", 1), ("x", 1.0), ("yes", True), ("10", timedelta(seconds=1))]
)
def test_a_parameter_of_another_type_is_refused_by_name(given: str, default: int) -> None:
    provide({"limit": given})
    with pytest.raises(InvalidSetting, match=f"parameter limit is not a {type(default).__name__}"):
        setting("limit", default)


def test_what_no_job_file_has_asked_for_is_known() -> None:
    provide({"asked": "1", "slip": "2"})
    setting("asked", 0)
    assert unread() == ["slip"]
