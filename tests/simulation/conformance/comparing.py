"""Waits until a real broker shows what the model shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.kafka.client import until

SECONDS = 40
"""How long a real broker may take: it ends a transaction of its own accord when it looks, every ten seconds."""


def await_same(
    observe: Callable[[], Mapping[Any, Any]], before: Mapping[Any, Any], after: Mapping[Any, Any], told: str
) -> None:
    """Return once `observe` gives `after`. Until then each thing seen is as it was before or as it will be.

    What is found at ("end", ...) or ("stable", ...) may lie between, since records and ends of transactions arrive one
    after the other, and an offset may be "unstable" in between. Raises AssertionError.
    """

    def same() -> bool:
        seen = observe()
        assert seen.keys() == after.keys()
        for at, value in seen.items():
            between = value == "unstable" or (at[0] in ("end", "stable") and before[at] <= value <= after[at])
            if not between and value not in (before[at], after[at]):
                raise AssertionError(f"{at} is {value}, was {before[at]}, must become {after[at]} {told}")
        return seen == after

    try:
        until(same, SECONDS)
    except TimeoutError:
        seen = observe()
        wrong = {at: (seen[at], value) for at, value in after.items() if seen[at] != value}
        raise AssertionError(f"seen, and to be seen: {wrong} {told}") from None


def in_parallel(calls: Mapping[str, Callable[[], None]]) -> None:
    """Run them beside each other: a real broker keeps each waiting most of the time.

    Raises AssertionError with the name of the first that failed.
    """
    with ThreadPoolExecutor(len(calls)) as pool:
        running = {name: pool.submit(call) for name, call in calls.items()}
    for name, call in running.items():
        error = call.exception()
        if error is not None:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
