"""`rayflow submit`: what is refused before a cluster is looked for. tests/ray has the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result


def test_a_bound_below_the_number_of_workers_is_refused(rayflow: Callable[..., Result]) -> None:
    result = rayflow("submit", "job.py", "--workers", "3", "--max-workers", "2")
    assert result.exit_code == 2
    assert "--max-workers 2 is less than --workers 3" in result.output


@pytest.mark.parametrize("option", ["--cpus", "--scaling-cooldown"])
@pytest.mark.parametrize("number", ["nan", "inf", "-1"])
def test_a_number_that_is_not_finite_is_refused(rayflow: Callable[..., Result], option: str, number: str) -> None:
    result = rayflow("submit", "job.py", f"{option}={number}")
    assert result.exit_code == 2
    assert "is not a finite number" in result.output
