"""The soak's oracle sees what a job does wrong."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.soak.expected import Expected
from tests.soak.job import CLOSED, OUT_OF_ORDER, WINDOW, Echo, Reminder, Visit
from tests.soak.wrong import Wrong

T = 1_000_000
FAR = 100 * WINDOW


def told(*visits: Visit) -> Expected:
    """An oracle that knows these visits, all of partition 0."""
    expected = Expected()
    for offset, visit in enumerate(visits):
        expected.take(0, offset, msgspec.json.encode(visit))
    return expected


def show(expected: Expected, topic: str, key: str, value: object) -> None:
    expected.show(topic, key.encode(), msgspec.json.encode(value))


def total(count: int, total: int, **window: int) -> dict[str, int]:
    return {"count": count, "total": total, **window}


FIRST, SECOND = Visit(0, "s", "a", 10, T), Visit(1, "s", "b", 20, T + 1)
WINDOW_OF_BOTH = total(2, 30, window_start=T, window_end=T + WINDOW)


def show_all(expected: Expected) -> None:
    """What a right job shows of the two visits before event time has gone on."""
    show(expected, "echoes", "s", Echo("s", 1, 0, 1))
    show(expected, "echoes", "s", Echo("s", 2, 1, 2))
    show(expected, "reminders", "s", Reminder("s", 2))
    show(expected, "totals", "a", total(1, 10))
    show(expected, "totals", "b", total(1, 20))
    show(expected, "counts", "a", 1)
    show(expected, "counts", "b", 1)


def show_ends(expected: Expected) -> None:
    """What it shows of them at the end of all time."""
    show(expected, "windows", "s", WINDOW_OF_BOTH)
    for start in (T - WINDOW, T):
        show(expected, "shop-windows", "a", total(1, 10, window_start=start, window_end=start + 2 * WINDOW))
        show(expected, "shop-windows", "b", total(1, 20, window_start=start, window_end=start + 2 * WINDOW))
    show(expected, "echoes", "s", Echo("s", 2, CLOSED, 0))


def test_a_job_that_does_all_right_leaves_nothing_to_be_desired() -> None:
    expected = told(FIRST, SECOND)
    show_all(expected)
    expected.behind({0: 2, 1: 0})
    assert set(expected.missing()) == {"echoes", "windows", "shop-windows"}
    show_ends(expected)
    assert expected.missing() == {}
    assert expected.committed == 2


WRONGS: dict[str, Callable[[Expected], None]] = {
    "an echo twice": lambda e: show(e, "echoes", "s", Echo("s", 2, 1, 2)),
    "a total twice": lambda e: show(e, "totals", "a", total(1, 10)),
    "a total that was counted twice": lambda e: show(e, "totals", "a", total(2, 20)),
    "a reminder twice": lambda e: show(e, "reminders", "s", Reminder("s", 1)),
    "a count of what is not there": lambda e: show(e, "counts", "a", 2),
    "a count that does not grow": lambda e: show(e, "counts", "a", 1),
    "a session closed too early": lambda e: show(e, "echoes", "s", Echo("s", 1, CLOSED, 0)),
    "a window that lacks a visit": lambda e: show(
        e, "windows", "s", total(1, 10, window_start=T, window_end=T + WINDOW)
    ),
    "a visit that was not late": lambda e: show(e, "late", "s", FIRST),
    "another session": lambda e: show(e, "echoes", "x", Echo("x", 1, 5, 1)),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_what_a_job_must_not_show_is_seen(wrong: str) -> None:
    expected = told(FIRST, SECOND)
    show_all(expected)
    with pytest.raises(Wrong):
        WRONGS[wrong](expected)


def test_a_window_twice_is_seen() -> None:
    expected = told(FIRST, SECOND)
    show(expected, "windows", "s", WINDOW_OF_BOTH)
    with pytest.raises(Wrong):
        show(expected, "windows", "s", WINDOW_OF_BOTH)


@pytest.mark.parametrize("topic", ["echoes", "totals", "counts"])
def test_what_is_lost_behind_a_position_is_seen(topic: str) -> None:
    expected = told(FIRST)
    for name, key, value in (
        ("echoes", "s", Echo("s", 1, 0, 1)),
        ("totals", "a", total(1, 10)),
        ("counts", "a", 1),
    ):
        if name != topic:
            show(expected, name, key, value)
    expected.behind({0: 0})
    with pytest.raises(Wrong, match=topic):
        expected.behind({0: 1})


def test_a_window_that_is_overdue_is_seen() -> None:
    expected = Expected()
    visits = [Visit(p, f"s{p}", "a", 1, T) for p in range(3)]
    later = [Visit(3 + p, f"t{p}", "a", 1, T + FAR) for p in range(3)]
    for p in range(3):
        expected.take(p, 0, msgspec.json.encode(visits[p]))
        expected.take(p, 1, msgspec.json.encode(later[p]))
    for number, visit in enumerate([*visits, *later], 1):
        show(expected, "echoes", visit.session, Echo(visit.session, 1, visit.id, 1))
        show(expected, "totals", "a", total(number, number))
        show(expected, "counts", "a", number)
    for visit in visits:
        show(expected, "echoes", visit.session, Echo(visit.session, 1, CLOSED, 0))
    expected.behind({0: 2, 1: 2, 2: 1})  # the third partition holds event time back
    with pytest.raises(Wrong, match="windows"):
        expected.behind({2: 2})


def test_a_visit_behind_its_partitions_watermark_is_late_and_in_no_window() -> None:
    expected = told(Visit(0, "s", "a", 1, T + FAR), Visit(1, "s", "a", 1, T))
    show(expected, "late", "s", Visit(1, "s", "a", 1, T))
    with pytest.raises(Wrong):
        show(expected, "windows", "s", total(1, 1, window_start=T, window_end=T + WINDOW))


def test_a_visit_that_is_a_little_behind_is_in_time() -> None:
    expected = told(Visit(0, "s", "a", 1, T + OUT_OF_ORDER), Visit(1, "s", "a", 1, T))
    show(expected, "windows", "s", total(2, 2, window_start=T, window_end=T + WINDOW))
    assert "late" not in expected.missing()
