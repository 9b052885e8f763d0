"""Compares actual with expected values."""

from __future__ import annotations

from typing import Any


def expect(what: str, got: Any, expected: Any) -> None:
    """Raise AssertionError with the first difference, unless both are the same."""
    if got == expected:
        return
    if isinstance(got, dict) and isinstance(expected, dict):
        wrong = sorted((key for key in got.keys() | expected.keys() if got.get(key) != expected.get(key)), key=str)
        first = wrong[0]
        raise AssertionError(
            f"{what}: {len(wrong)} differ; {first}: got {got.get(first)}, expected {expected.get(first)}"
        )
    raise AssertionError(f"{what}: got {str(got)[:300]}, expected {str(expected)[:300]}")
