"""Lost window results, and records that are wrongly late, are found whatever makes records late in a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rayflow.core.batch import Batch
from rayflow.core.ids import WATERMARK_MAX
from rayflow.core.outputs import LATE, OUT
from rayflow.operators.base import Passing
from rayflow.operators.window import WindowOperator
from rayflow.testing.simulation.jobs import LATE as BRANCHES
from rayflow.testing.simulation.jobs import Shape
from rayflow.testing.simulation.simulation import Simulation, SimulationFailed

SEEDS = (3, 14, 15)
MORE_SEEDS = (*SEEDS, 92, 65, 35)

BEHIND_AN_EXCHANGE = Shape(
    partitions=3, stages=2, branches=("windows",), filtered=False, disorder=50, window=200, timer=1, interval=200
)
SHAPES = {
    "idle": replace(BEHIND_AN_EXCHANGE, idle=300),
    "growing": replace(BEHIND_AN_EXCHANGE, grows=True),
    "stragglers": replace(BEHIND_AN_EXCHANGE, stages=1, stragglers=True),
    "two topics, all of it": replace(
        BEHIND_AN_EXCHANGE, stages=3, other=2, beside=True, lag=100, idle=300, grows=True, stragglers=True, grace=70
    ),
}

Patch = pytest.MonkeyPatch


def results_are_lost(patch: Patch) -> None:
    process, fire = WindowOperator.process, WindowOperator.on_watermark

    def without_updates(self: WindowOperator, batch: Batch, input: Any) -> Any:
        return [(output, made) for output, made in process(self, batch, input) if output != OUT]

    def without_results(self: WindowOperator, watermark: int, inputs: Any) -> Passing:
        firing = fire(self, watermark, inputs)
        while True:
            try:
                output, made = next(firing)
            except StopIteration as done:
                return done.value
            if output != OUT:
                yield output, made

    patch.setattr(WindowOperator, "process", without_updates)
    patch.setattr(WindowOperator, "on_watermark", without_results)


def one_key_is_lost(patch: Patch) -> None:
    process = WindowOperator.process

    def without_it(self: WindowOperator, batch: Batch, input: Any) -> Any:
        return process(self, batch.select([key[-1] != "2" for key in batch.keys]), input)

    patch.setattr(WindowOperator, "process", without_it)


def everything_is_late(patch: Patch) -> None:
    patch.setattr(WindowOperator, "_limits", lambda self, batch: [WATERMARK_MAX] * len(batch))


def windows_close_early(patch: Patch) -> None:
    fire = WindowOperator.on_watermark

    def early(self: WindowOperator, watermark: int, inputs: Any) -> Passing:
        passed = yield from fire(self, watermark + 150, inputs)
        return min(passed, watermark)

    patch.setattr(WindowOperator, "on_watermark", early)


def windows_close_late(patch: Patch) -> None:
    fire = WindowOperator.on_watermark

    def later(self: WindowOperator, watermark: int, inputs: Any) -> Passing:
        return fire(self, watermark if watermark == WATERMARK_MAX else watermark - 150, inputs)

    patch.setattr(WindowOperator, "on_watermark", later)


def late_records_count_all_the_same(patch: Patch) -> None:
    patch.setattr(WindowOperator, "_limits", lambda self, batch: None)


def late_records_are_counted_too(patch: Patch) -> None:
    apart = WindowOperator._set_late_apart

    def and_counted(self: WindowOperator, batch: Batch, limits: list[int], outputs: list[Any]) -> Any:
        apart(self, batch, limits, outputs)
        return batch, limits

    patch.setattr(WindowOperator, "_set_late_apart", and_counted)


def late_records_are_dropped(patch: Patch) -> None:
    process = WindowOperator.process

    def without_late(self: WindowOperator, batch: Batch, input: Any) -> Any:
        return [(output, made) for output, made in process(self, batch, input) if output != LATE]

    patch.setattr(WindowOperator, "process", without_late)


def lateness_follows_the_batches(patch: Patch) -> None:
    limits = WindowOperator._limits

    def by_the_batch(self: WindowOperator, batch: Batch) -> Any:
        batch.lateness = None
        return limits(self, batch)

    patch.setattr(WindowOperator, "_limits", by_the_batch)


def fails(shape: Shape, seed: int) -> bool:
    """Whether a seed finds what is broken."""
    try:
        Simulation(seed, shape=shape, records=80).run()
    except SimulationFailed as error:
        if isinstance(error.__cause__, AttributeError | NameError | TypeError):
            raise  # the sabotage is broken, not what it breaks
        return True
    return False


@pytest.mark.no_cover
@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "sabotage", [results_are_lost, one_key_is_lost, everything_is_late], ids=lambda one: one.__name__
)
def test_lost_windows_and_wrongly_late_records_are_found_by_every_seed(
    sabotage: Callable[[Patch], None], shape: str, branch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    assert [seed for seed in SEEDS if not fails(replace(SHAPES[shape], branches=(branch,)), seed)] == []


@pytest.mark.no_cover
@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sabotage", [windows_close_early, windows_close_late], ids=lambda one: one.__name__)
def test_windows_that_close_at_the_wrong_time_are_found_by_a_few_seeds(
    sabotage: Callable[[Patch], None], shape: str, branch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    assert any(fails(replace(SHAPES[shape], branches=(branch,)), seed) for seed in MORE_SEEDS)


@pytest.mark.no_cover
@pytest.mark.parametrize("shape", ["stragglers", "two topics, all of it"])
@pytest.mark.parametrize(
    ("sabotage", "branch"),
    [
        *((late_records_count_all_the_same, branch) for branch in BRANCHES),
        *((late_records_are_dropped, branch) for branch in BRANCHES),
        *((lateness_follows_the_batches, branch) for branch in BRANCHES),
        (late_records_are_counted_too, "windows"),
        (late_records_are_counted_too, "updates"),  # of "hops" no window would be open for them
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_late_records_that_are_not_set_apart_once_are_found_by_a_few_seeds(
    sabotage: Callable[[Patch], None], branch: str, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    assert any(fails(replace(SHAPES[shape], branches=(branch,)), seed) for seed in MORE_SEEDS)


@pytest.mark.no_cover
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_found_where_nothing_is_broken(shape: str) -> None:
    assert [seed for seed in MORE_SEEDS if fails(replace(SHAPES[shape], branches=tuple(sorted(BRANCHES))), seed)] == []
