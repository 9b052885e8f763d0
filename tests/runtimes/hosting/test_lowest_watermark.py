"""A job's event time is that of the tasks that hold others back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rayflow.core.ids import WATERMARK_MAX, WATERMARK_MIN
from rayflow.runtimes.hosting.worker_metrics import lowest_watermark


def at(watermark: int, *, idle: bool = False) -> Any:
    return SimpleNamespace(watermark=watermark, idle=idle)


@pytest.mark.parametrize(
    ("times", "lowest"),
    [
        ([], None),
        ([at(5), at(3)], 3),
        ([at(5), at(WATERMARK_MIN)], None),
        ([at(5), at(WATERMARK_MIN, idle=True)], 5),
        ([at(5), at(3, idle=True)], 5),
        ([at(5, idle=True), at(WATERMARK_MIN, idle=True)], 5),
        ([at(WATERMARK_MIN, idle=True)], None),
        ([at(WATERMARK_MAX)], None),
    ],
)
def test_idle_tasks_do_not_hold_event_time_back(times: list[Any], lowest: int | None) -> None:
    assert lowest_watermark(times) == lowest
