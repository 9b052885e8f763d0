"""The samples of Prometheus metrics, to be compared between runtimes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


def samples(text: str) -> dict[str, set[frozenset[str]]]:
    """The names of all samples of an exposition, each with the sets of labels that it comes with."""
    found: dict[str, set[frozenset[str]]] = {}
    for sample in _samples(text):
        found.setdefault(sample.name, set()).add(frozenset(sample.labels))
    return found


def total(text: str, name: str) -> float:
    """The sum of a sample over all of its labels."""
    return sum(sample.value for sample in _samples(text) if sample.name == name)


def _samples(text: str) -> Iterable[Any]:
    return (sample for family in text_string_to_metric_families(text) for sample in family.samples)
