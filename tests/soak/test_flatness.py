"""What counts as growth."""

from __future__ import annotations

from collections.abc import Sequence

from tests.soak.flatness import CALM, Life, verdicts, verdicts_of_life
from tests.soak.samples import Sample


def grown(name: str, values: Sequence[float], age: float | None = None) -> bool | None:
    """The verdict on one value every ten seconds."""
    samples = {name: [Sample(10.0 * at, age, value) for at, value in enumerate(values)]}
    (verdict,) = verdicts(samples, 0, 10.0 * len(values))
    return verdict.grown


def test_what_goes_up_and_down_is_flat() -> None:
    assert grown("rows sessions/count", [100, 500, 300] * 10) is False
    assert grown("checkpoint files", [200, 300, 400] * 10) is False


def test_what_goes_up_only_is_seen() -> None:
    assert grown("rows sessions/count", [100.0 * n for n in range(30)])
    assert grown("transactional ids", [1] * 25 + [2] * 5)
    assert grown("private memory", [2e8 + 1e7 * n for n in range(30)], age=6.0)


def test_the_first_third_may_grow() -> None:
    assert grown("state bytes", [1e7 * min(n, 10) for n in range(30)]) is False


def test_memory_is_compared_at_like_ages_only() -> None:
    samples = {
        "private memory": [Sample(10.0 * at, 6.0 if at % 2 else 60.0, 1e8 if at % 2 else 1e7 * at) for at in range(60)]
    }
    (verdict,) = verdicts(samples, 0, 600)
    assert verdict.grown is False


def test_in_a_life_its_own_samples_count_alone() -> None:
    samples = {
        "private memory": [Sample(float(at), None, 1e8 + 3e6 * at) for at in range(100)],
        "rows sessions/open": [Sample(float(at), None, 1_000.0 if at < 20 or at >= 65 else 30.0) for at in range(100)],
        "topics": [Sample(float(at), None, float(at)) for at in range(100)],
    }
    found = verdicts_of_life(samples, Life("it", 20.0, 65.0, CALM))
    assert {verdict.name: verdict.grown for verdict in found} == {
        "private memory in it": True,
        "rows sessions/open in it": False,
    }


def test_too_few_samples_are_no_verdict() -> None:
    assert grown("private memory", [1e8 * n for n in range(30)], age=60.0) is None


def test_too_short_a_time_is_no_verdict() -> None:
    assert grown("groups", [0.0 + n for n in range(17)]) is None
