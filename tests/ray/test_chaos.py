"""A short run of `python -m tests.ray.chaos`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.ray.chaos import Chaos

FAULTS = 5


@pytest.mark.slow
@pytest.mark.more
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("ray")
def test_a_few_faults_leave_the_output_exact(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    figures = Chaos(tmp_path, seed, 100.0, print).run(FAULTS, 10.0)
    assert sum(map(len, figures.recoveries.values())) == FAULTS
    assert figures.outputs > figures.visits > 0
